"""The token service (Docker's token specification): credentials in, a registry token out."""

from __future__ import annotations

from urllib.parse import parse_qs

from gateway.clients.channels import Services
from gateway.config import GatewaySettings, networks
from gateway.wire.answer import Answer
from gateway.wire.credentials import Basic, Bearer
from gateway.wire.errors import oci_error
from gateway.wire.origin import OriginReader
from gateway.wire.request import GatewayRequest
from svckit.access.call import enter_call
from svckit.errors import DomainError, error_for

_MOST_SCOPES = 100


class TokenSurface:
    """Answers at /service/token, or wherever the settings have it."""

    def __init__(self, settings: GatewaySettings, services: Services) -> None:
        """Takes the gateway's settings, and what it calls."""
        self.prefix = settings.token_path
        self._services = services
        self._origins = OriginReader(networks(settings.trusted_proxies))
        self._seconds = settings.limits.request_seconds

    async def __call__(self, request: GatewayRequest) -> Answer:
        """Answers one request, errors included."""
        request.route = "token"
        try:
            if request.raw_target.removeprefix(self.prefix) not in {"", "/"}:
                raise error_for("NOT_FOUND")
            if request.method not in {"GET", "HEAD"}:
                raise error_for("UNSUPPORTED", metadata={"allow": "GET, HEAD"})
            answer = await self._issue(request)
        except DomainError as error:
            answer = oci_error(error)
            if answer.status == 401:
                answer.headers.append(("WWW-Authenticate", 'Basic realm="roadstead", charset="UTF-8"'))
        # Nothing on the way may keep it.
        return answer.with_header("Cache-Control", "no-store")

    async def _issue(self, request: GatewayRequest) -> Answer:
        raw: bytes = request.query_string
        try:
            query = parse_qs(raw.decode("ascii"), errors="strict")
        except ValueError:
            raise error_for("BAD_REQUEST", "the query cannot be read") from None
        # A scope may stand alone or share a parameter with others.
        scopes = [scope for text in query.get("scope", ()) for scope in text.split()]
        if len(scopes) > _MOST_SCOPES:
            raise error_for("BAD_REQUEST", f"{len(scopes)} scopes; {_MOST_SCOPES} are the most")
        credentials = request.credentials
        token = credentials.token if isinstance(credentials, Bearer) else None
        enter_call(request.call(token, request.deadline_in(self._seconds)))
        issued = await self._services.tokens.create_registry_token(
            credentials if isinstance(credentials, Basic) else None,
            service=_first(query, "service"),
            scopes=scopes,
            account=_first(query, "account"),
            client_address=request.reached(self._origins).client_address,
        )
        return Answer.of_json(
            {
                "token": issued.text,
                "access_token": issued.text,
                "expires_in": issued.expires_in_seconds,
                "issued_at": issued.issue_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )


def _first(query: dict[str, list[str]], name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""
