"""The token service (Docker's token specification): credentials in, a registry token out.

GET takes Basic credentials. POST takes OAuth2's form with the credentials in the body; containerd tries POST first.
Refresh tokens are not issued: a client that asks for one gets an answer without it, and continues with its password.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clients.channels import Services
from gateway.config import GatewaySettings
from gateway.wire.answer import Answer
from gateway.wire.credentials import Basic, Bearer
from gateway.wire.errors import oci_error
from gateway.wire.fields import Fields, read_fields
from gateway.wire.origin import origin_reader
from gateway.wire.request import GatewayRequest
from svckit.access.call import enter_call
from svckit.errors import DomainError, Unauthenticated, error_for
from svckit.tokens import IdentityToken
from svckit.tokens.verifier import TokenVerifier

_METHODS = ("GET", "HEAD", "POST")
_MAX_SCOPES = 100
_MAX_FORM_BYTES = 64 * 1024
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class _TokenRequest:
    """A request for a token: its fields, and the credentials or the identity token of the caller, if there are any."""

    fields: Fields
    credentials: Basic | None = None
    token: str | None = None

    @property
    def scopes(self) -> list[str]:
        """The scopes, one each. A field may contain one scope or several."""
        return [scope for text in self.fields.get("scope", ()) for scope in text.split()]

    def first(self, name: str) -> str:
        """The first value of a field; empty without one."""
        return next(iter(self.fields.get(name, ())), "")


class TokenSurface:
    """Answers at /service/token, or at the path in the settings."""

    def __init__(self, settings: GatewaySettings, services: Services, verifier: TokenVerifier) -> None:
        """Takes the gateway's settings, the clients of the services, and the verifier of identity tokens.

        Identity tokens are verified here, because authsvc ignores an invalid one and would issue an anonymous token. A
        client with an expired log-in must get an error instead.
        """
        self.prefix = settings.token_path
        self._services = services
        self._verifier = verifier
        self._origins = origin_reader(settings)
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
        # Proxies must not store a token.
        return answer.with_header("Cache-Control", "no-store")

    async def _issue(self, request: GatewayRequest) -> Answer:
        wanted = await _read_form(request) if request.method == "POST" else self._read_query(request)
        scopes = wanted.scopes
        if len(scopes) > _MAX_SCOPES:
            raise error_for("BAD_REQUEST", f"{len(scopes)} scopes; the limit is {_MAX_SCOPES}")
        origin = request.read_origin(self._origins)
        enter_call(request.call(wanted.token, origin, request.deadline_in(self._seconds)))
        issued = await self._services.tokens.create_registry_token(
            wanted.credentials,
            service=wanted.first("service"),
            scopes=scopes,
            account=wanted.first("account"),
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

    def _read_query(self, request: GatewayRequest) -> _TokenRequest:
        fields = read_fields(request.query_string)
        match request.credentials:
            case Basic() as credentials:
                return _TokenRequest(fields, credentials=credentials)
            case Bearer(token):
                self._verifier.verify(token, IdentityToken)
                return _TokenRequest(fields, token=token)
        return _TokenRequest(fields)


async def _read_form(request: GatewayRequest) -> _TokenRequest:
    """Reads the form of a POST (distribution's "Docker Registry v2 OAuth2").

    Raises:
        DomainError: UNSUPPORTED_MEDIA_TYPE; REQUEST_TOO_LARGE; BAD_REQUEST for another grant than `password`;
            UNAUTHORIZED for malformed credentials.
    """
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise error_for("UNSUPPORTED_MEDIA_TYPE", f"the body must be {_FORM}")
    form = await request.body.read(_MAX_FORM_BYTES, "REQUEST_TOO_LARGE")
    wanted = _TokenRequest(read_fields(form, encoding="utf-8", what="form"))
    if wanted.first("grant_type") != "password":
        raise error_for("BAD_REQUEST", "grant_type must be password; refresh tokens are not issued here")
    username, secret = wanted.first("username"), wanted.first("password")
    if not username or "\0" in username + secret:
        raise Unauthenticated("UNAUTHORIZED", "the credentials are malformed")
    return _TokenRequest(wanted.fields, credentials=Basic(username, secret))
