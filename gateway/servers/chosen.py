"""The server that the settings choose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.config import GatewaySettings
from gateway.servers.granian.allocator import return_free_memory
from gateway.servers.served import ServedApp
from svckit.errors.start import StartError

HELD_PIECES: Mapping[str, int] = {"hypercorn": 1, "granian": 8}
"""How many pieces of an answer each server takes before it waits for its client, that of the app included.

Granian took 8 MiB of pieces of 1 MiB for a client that read nothing, of which the kernel held 4.
"""


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
        return_free_memory()
        # Imported only when it is chosen: it is an extra, and each of them takes memory.
        try:
            from gateway.servers.granian.serving import serve
        except ModuleNotFoundError as error:
            message = 'gateway.server = "granian" needs it to be installed: pip install "roadstead[granian]"'
            raise StartError(message) from error
    else:
        from gateway.servers.hypercorn.serving import serve
    await serve(app, settings, until)
