"""GET /systeminfo: describes this registry. Logged-in callers see more of it."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from gateway.config import GatewaySettings
from gateway.routes.api.certificate import has_certificate
from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.contracts import PREFIX
from gateway.transcode.openapi import HandwrittenOperation
from gateway.wire.answer import Answer
from svckit.configuration.reader import ConfigurationReader
from svckit.configuration.values import Configuration
from svckit.tokens import IdentityToken
from svckit.tokens.verifier import TokenVerifier

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "auth_mode": _TEXT,
        "primary_auth_mode": _FLAG,
        "self_registration": _FLAG,
        "banner_message": _TEXT,
        "harbor_version": _TEXT,
        "registry_url": _TEXT,
        "external_url": _TEXT,
        "project_creation_restriction": _TEXT,
        "has_ca_root": _FLAG,
        "read_only": _FLAG,
        "notification_enable": _FLAG,
        "registry_storage_provider_name": _TEXT,
        "current_time": {"type": "string", "format": "date-time"},
    },
}


def route(settings: GatewaySettings, configuration: ConfigurationReader, verifier: TokenVerifier) -> HandwrittenRoute:
    """The route.

    Args:
        settings: the settings of the gateway.
        configuration: the runtime configuration.
        verifier: verifies the caller's token, because this route calls no service.
    """

    async def answer(exchange: ApiExchange) -> Answer:
        values = configuration.values
        info: dict[str, object] = {
            "auth_mode": values.auth_mode,
            "primary_auth_mode": False,
            "self_registration": values.self_registration,
            "banner_message": values.banner_message,
        }
        token = exchange.call.token
        if token is not None:
            verifier.verify(token, IdentityToken)
            info |= _for_callers(settings, values, exchange)
        return Answer.of_json(info)

    operation = HandwrittenOperation(
        "GET", f"{PREFIX}/systeminfo", "getSystemInfo", "Say what this registry is", _SCHEMA
    )
    return HandwrittenRoute(operation, answer)


def _for_callers(settings: GatewaySettings, values: Configuration, exchange: ApiExchange) -> dict[str, object]:
    origin = exchange.origin
    url = settings.external_url or (f"{origin.scheme}://{origin.host}" if origin.host else "")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "harbor_version": settings.harbor_version,
        "registry_url": urlsplit(url).netloc,
        "external_url": url,
        "project_creation_restriction": values.project_creation_restriction,
        "has_ca_root": has_certificate(settings),
        "read_only": values.read_only,
        "notification_enable": False,
        "registry_storage_provider_name": "filesystem",
        "current_time": now,
    }
