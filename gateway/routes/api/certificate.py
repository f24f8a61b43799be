"""GET /systeminfo/getcert: the certificate of the authority that clients should trust, for downloads."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.config import GatewaySettings
from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.contracts import PREFIX
from gateway.transcode.openapi import HandwrittenOperation
from gateway.wire.answer import Answer
from svckit.errors import error_for
from svckit.logging import get_logger

_log = get_logger(__name__)

_MEDIA_TYPE = "application/octet-stream"
_MAXIMUM_BYTES = 1024 * 1024


def route(settings: GatewaySettings) -> HandwrittenRoute:
    """The route. The file is read for each request, so that it can be replaced."""

    async def answer(_exchange: ApiExchange) -> Answer:
        path = settings.ca_certificate_file
        content = None if path is None else await asyncio.to_thread(_read, path)
        if content is None:
            raise error_for("NOT_FOUND", "CA certificate not found")
        headers = [
            ("Content-Type", _MEDIA_TYPE),
            ("Content-Disposition", "attachment; filename=ca.crt"),
        ]
        return Answer(200, headers, content)

    operation = HandwrittenOperation(
        "GET",
        f"{PREFIX}/systeminfo/getcert",
        "getCert",
        "Download the certificate to trust",
        media_type=_MEDIA_TYPE,
    )
    return HandwrittenRoute(operation, answer, ignores_credentials=True)


def has_certificate(settings: GatewaySettings) -> bool:
    """Whether there is a certificate to download."""
    return settings.ca_certificate_file is not None and settings.ca_certificate_file.is_file()


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(_MAXIMUM_BYTES + 1)
    except OSError:
        return None
    # A part of a certificate is of no use, and a file with both parts of a pair is easily named by mistake.
    if len(content) > _MAXIMUM_BYTES or b"PRIVATE KEY-----" in content:
        _log.error("certificate_withheld", file=str(path), reason="it holds a private key, or is too large")
        return None
    return content
