"""The server that the settings choose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.config import GatewaySettings
from gateway.servers.served import ServedApp
from svckit.errors.start import StartError


async def serve_http(app: ServedApp, settings: GatewaySettings, until: Callable[[], Awaitable[object]]) -> None:
    """Serves the app until told to stop, then waits for the requests in flight, up to `drain_seconds`.

    Args:
        app: the app.
        settings: the settings.
        until: returns when it is time to stop.

    Raises:
        OSError: an address cannot be bound, or the certificate or its key cannot be read.
        StartError: the chosen server is not installed.
    """
    if settings.server == "granian":
        # Imported only when it is chosen: it is an extra, and each of them takes memory.
        try:
            from gateway.servers.granian.serving import serve
        except ModuleNotFoundError as error:
            message = 'gateway.server = "granian" needs it to be installed: pip install "roadstead[granian]"'
            raise StartError(message) from error
    else:
        from gateway.servers.hypercorn.serving import serve
    await serve(app, settings, until)
