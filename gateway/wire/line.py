"""What a server offers for a request beyond ASGI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.wire.connections import Connection

LINE_KEY = "roadstead.line"
"""Where the app finds the line of a request: in the `state` of its ASGI scope."""


class Line(Protocol):
    """One request, as its server sees it."""

    @property
    def connection(self) -> Connection | None:
        """The connection that it came by; None where the server cannot tell."""

    @property
    def settles_unread_bodies(self) -> bool:
        """Whether the server ends an exchange by itself though its body was not read.

        Otherwise the app must say `Connection: close`, and read the body to its end or to that of the connection.
        """

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Headers of every answer by this server."""

    async def open_body(self) -> None:
        """Lets the body in. Before this, nothing of it is taken from the connection."""

    async def break_off(self, *, is_read: bool) -> None:
        """Ends an answer so that the client knows that it is incomplete.

        Args:
            is_read: whether the client reads what it is sent.
        """


def line_of(scope: Mapping[str, Any]) -> Line | None:
    """The line of a request; None with a server that offers none, as in tests of the app alone."""
    line: Line | None = (scope.get("state") or {}).get(LINE_KEY)
    return line
