"""The token service (Docker's token specification): credentials in, a registry token out.

GET takes credentials as Basic; POST, the form of OAuth2, in its body, where containerd sends them first. Refresh tokens
are not issued: who asks for one gets the answer without it, and goes on with its password.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clients.channels import Services
from gateway.config import GatewaySettings, networks
from gateway.wire.answer import Answer
from gateway.wire.credentials import Basic, Bearer
from gateway.wire.errors import oci_error
from gateway.wire.fields import Fields, read_fields
from gateway.wire.origin import OriginReader
from gateway.wire.request import GatewayRequest
from svckit.access.call import enter_call
from svckit.errors import DomainError, Unauthenticated, error_for
from svckit.tokens import IdentityToken
from svckit.tokens.verifier import TokenVerifier

_METHODS = ("GET", "HEAD", "POST")
_MOST_SCOPES = 100
_MOST_FORM_BYTES = 64 * 1024
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a client asks for: `fields` says what, and who asks says either of the other two, or neither."""

    fields: Fields
    credentials: Basic | None = None
    token: str | None = None

    @property
    def scopes(self) -> list[str]:
        """One each: a scope may stand alone or share a field with others."""
        return [scope for text in self.fields.get("scope", ()) for scope in text.split()]

    def first(self, name: str) -> str:
        """The first value of a field; empty without one."""
        return next(iter(self.fields.get(name, ())), "")


class TokenSurface:
    """Answers at /service/token, or wherever the settings have it."""

    def __init__(self, settings: GatewaySettings, services: Services, verifier: TokenVerifier) -> None:
        """Takes the gateway's settings, what it calls, and the judge of identity tokens.

        authsvc ignores one that does not count, and would answer as to nobody: a client whose log-in has ended must
        hear that instead.
        """
        self.prefix = settings.token_path
        self._services = services
        self._verifier = verifier
        self._origins = OriginReader(networks(settings.trusted_proxies))
        self._seconds = settings.limits.request_seconds

    async def __call__(self, request: GatewayRequest) -> Answer:
        """Answers one request, errors included."""
        request.route = "token"
        try:
            if request.raw_target.removeprefix(self.prefix) not in {"", "/"}:
                raise error_for("NOT_FOUND")
            if request.method not in _METHODS:
                raise error_for("UNSUPPORTED", metadata={"allow": ", ".join(_METHODS)})
            answer = await self._issue(request)
        except DomainError as error:
            answer = oci_error(error)
            if answer.status == 401:
                answer.headers.append(("WWW-Authenticate", 'Basic realm="roadstead", charset="UTF-8"'))
        # Nothing on the way may keep it.
        return answer.with_header("Cache-Control", "no-store")

    async def _issue(self, request: GatewayRequest) -> Answer:
        asked = await _read_form(request) if request.method == "POST" else self._read_query(request)
        scopes = asked.scopes
        if len(scopes) > _MOST_SCOPES:
            raise error_for("BAD_REQUEST", f"{len(scopes)} scopes; {_MOST_SCOPES} are the most")
        origin = request.read_origin(self._origins)
        enter_call(request.call(asked.token, origin, request.deadline_in(self._seconds)))
        issued = await self._services.tokens.create_registry_token(
            asked.credentials,
            service=asked.first("service"),
            scopes=scopes,
            account=asked.first("account"),
        )
        document: dict[str, object] = {
            "token": issued.text,
            "access_token": issued.text,
            "expires_in": issued.expires_in_seconds,
            "issued_at": issued.issue_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if request.method == "POST":
            document["scope"] = " ".join(issued.scopes)
        return Answer.of_json(document)

    def _read_query(self, request: GatewayRequest) -> _Asked:
        fields = read_fields(request.query_string)
        match request.credentials:
            case Basic() as credentials:
                return _Asked(fields, credentials=credentials)
            case Bearer(token):
                self._verifier.verify(token, IdentityToken)
                return _Asked(fields, token=token)
        return _Asked(fields)


async def _read_form(request: GatewayRequest) -> _Asked:
    """Reads the form of a POST (distribution's "Docker Registry v2 OAuth2").

    Raises:
        DomainError: UNSUPPORTED_MEDIA_TYPE; REQUEST_TOO_LARGE; BAD_REQUEST for another grant than `password`;
            UNAUTHORIZED for credentials that cannot be any.
    """
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise error_for("UNSUPPORTED_MEDIA_TYPE", f"the body must be {_FORM}")
    form = await request.body.read(_MOST_FORM_BYTES, "REQUEST_TOO_LARGE")
    asked = _Asked(read_fields(form, encoding="utf-8", what="form"))
    if asked.first("grant_type") != "password":
        raise error_for("BAD_REQUEST", "grant_type must be password; refresh tokens are not issued here")
    username, secret = asked.first("username"), asked.first("password")
    if not username or "\0" in username + secret:
        raise Unauthenticated("UNAUTHORIZED", "the credentials are malformed")
    return _Asked(asked.fields, credentials=Basic(username, secret))
