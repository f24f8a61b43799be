"""The app, as a server sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gateway.wire.connections import Connections

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class ServedApp(Protocol):
    """An ASGI app that knows its connections.

    Attributes:
        connections: the open connections of this process. The server adds and removes them.
    """

    connections: Connections

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serves one request."""
