"""GET /api/version: the version of the API. Harbor's replication takes a 404 for version 1, which nobody speaks."""

from __future__ import annotations

from typing import Final

from quart import Blueprint, Response

from gateway.wire.quart_app import current_request

_PATH: Final = "/api/version"
_BODY: Final = b'{"version":"v2.0"}\n'


def blueprint() -> Blueprint:
    """The route. The answer is the same for everybody, so credentials do not count."""
    routes = Blueprint("version", __name__)

    @routes.get(_PATH)
    async def version() -> Response:
        current_request().route = _PATH
        return Response(_BODY, content_type="application/json; charset=utf-8")

    return routes
