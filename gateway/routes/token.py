"""The token service (Docker's token specification): log-in in, registry token out, refresh token if asked for.

GET takes Basic credentials. POST takes OAuth2's form: a name and its password, or a refresh token.
https://distribution.github.io/distribution/spec/auth/token/, …/auth/oauth/
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from gateway.clients.channels import Services
from gateway.config import GatewaySettings
from gateway.wire.answer import Answer
from gateway.wire.credentials import Basic, Bearer, RefreshToken
from gateway.wire.errors import oauth_error, oci_error
from gateway.wire.fields import Fields, read_fields
from gateway.wire.origin import origin_reader
from gateway.wire.request import GatewayRequest
from svckit.access.call import enter_call
from svckit.errors import DomainError, Invalid, Unauthenticated, error_for
from svckit.tokens import IdentityToken
from svckit.tokens.verifier import TokenVerifier

_METHODS = ("GET", "HEAD", "POST")
_MAX_SCOPES = 100
_MAX_FORM_BYTES = 64 * 1024
_FORM = "application/x-www-form-urlencoded"
# RFC 6749, section 3.2: no parameter more than once. Only `scope` may repeat, because some clients repeat it.
_ONCE = ("grant_type", "service", "client_id", "access_type", "username", "password", "refresh_token")
# As Go's strconv.ParseBool, which distribution uses.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})


# 401 rather than the RFC's 400: by it, clients tell their user that the log-in has ended.
_OAUTH_CODES = MappingProxyType(
    {
        "UNAUTHORIZED": "invalid_grant",
        "BAD_REQUEST": "invalid_request",
        "UNSUPPORTED_MEDIA_TYPE": "invalid_request",
        "REQUEST_TOO_LARGE": "invalid_request",
    }
)


class _UnsupportedGrantType(Invalid):
    """A form asks for a grant that is not offered here."""


@dataclass(frozen=True, slots=True)
class _TokenRequest:
    """A request for a token.

    Attributes:
        fields: the fields of the query or the form.
        login: a name and its secret, or a refresh token, if there is one.
        token: the identity token of the caller, if there is one.
        is_offline: whether the client asks for a refresh token.
    """

    fields: Fields
    login: Basic | RefreshToken | None = None
    token: str | None = None
    is_offline: bool = False

    @property
    def scopes(self) -> list[str]:
        """The scopes, one each. A field may contain one scope or several."""
        return [scope for text in self.fields.get("scope", ()) for scope in text.split()]

    def first(self, name: str) -> str:
        """The first value of a field; empty without one."""
        return _first(self.fields, name)


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
            code = _oauth_code(error) if request.method == "POST" else ""
            answer = oauth_error(error, code) if code else oci_error(error)
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
            wanted.login,
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
            # RFC 6749, section 5.1, requires it. Docker's clients do not look at it.
            document["token_type"] = "Bearer"  # noqa: S105 - no password
            document["scope"] = " ".join(issued.scopes)
        refresh_token = await self._refresh_token(wanted)
        if refresh_token:
            document["refresh_token"] = refresh_token
        return Answer.of_json(document)

    async def _refresh_token(self, wanted: _TokenRequest) -> str:
        """The refresh token of the answer; empty for none."""
        match wanted.login:
            case RefreshToken(token):
                # The same one, as the specification says: clients do not keep a new one.
                return token
            case Basic() as credentials if wanted.is_offline:
                return await self._services.tokens.create_refresh_token(
                    credentials, client_id=wanted.first("client_id"), service=wanted.first("service")
                )
        return ""

    def _read_query(self, request: GatewayRequest) -> _TokenRequest:
        fields = read_fields(request.query_string)
        offline = _first(fields, "offline_token")
        if offline not in _TRUE | _FALSE:
            raise error_for("BAD_REQUEST", "offline_token must be true or false")
        # containerd leaves out its name here. Then it gets no refresh token, because that would be anybody's.
        is_offline = offline in _TRUE and bool(_first(fields, "client_id")) and request.method == "GET"
        match request.credentials:
            case Basic() as credentials:
                return _TokenRequest(fields, login=credentials, is_offline=is_offline)
            case Bearer(token):
                self._verifier.verify(token, IdentityToken)
                return _TokenRequest(fields, token=token)
        return _TokenRequest(fields)


async def _read_form(request: GatewayRequest) -> _TokenRequest:
    """Reads the form of a POST (distribution's "Docker Registry v2 OAuth2").

    Raises:
        DomainError: UNSUPPORTED_MEDIA_TYPE; REQUEST_TOO_LARGE; BAD_REQUEST for a field that is missing, repeated or
            wrong; UNAUTHORIZED for malformed credentials.
    """
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise error_for("UNSUPPORTED_MEDIA_TYPE", f"the body must be {_FORM}")
    form = await request.body.read(_MAX_FORM_BYTES, "REQUEST_TOO_LARGE")
    fields = read_fields(form, encoding="utf-8", what="form")
    for name in _ONCE:
        if len(fields.get(name, ())) > 1:
            raise error_for("BAD_REQUEST", f"{name} must not be repeated")
    access_type = _first(fields, "access_type")
    if access_type not in {"", "online", "offline"}:
        raise error_for("BAD_REQUEST", "access_type must be online or offline")
    is_offline = access_type == "offline"
    match _first(fields, "grant_type"):
        case "password":
            if is_offline:
                _require(fields, "client_id")
            username, secret = _first(fields, "username"), _first(fields, "password")
            if not username or "\0" in username + secret:
                raise Unauthenticated("UNAUTHORIZED", "the credentials are malformed")
            return _TokenRequest(fields, login=Basic(username, secret), is_offline=is_offline)
        case "refresh_token":
            login = RefreshToken(_require(fields, "refresh_token"), _require(fields, "client_id"))
            return _TokenRequest(fields, login=login)
        case "":
            raise error_for("BAD_REQUEST", "grant_type is missing")
    raise _UnsupportedGrantType(message="grant_type must be password or refresh_token")


def _require(fields: Fields, name: str) -> str:
    value = _first(fields, name)
    if not value:
        raise error_for("BAD_REQUEST", f"{name} is missing")
    return value


def _first(fields: Fields, name: str) -> str:
    return next(iter(fields.get(name, ())), "")


def _oauth_code(error: DomainError) -> str:
    """OAuth2's code of an error; empty if OAuth2 has none."""
    if isinstance(error, _UnsupportedGrantType):
        return "unsupported_grant_type"
    return _OAUTH_CODES.get(error.reason, "")
