"""What a server offers for a request beyond ASGI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

from gateway.wire.connections import Connection

LINE_KEY = "roadstead.line"
"""Where the app finds the line of a request: in the `state` of its ASGI scope."""


class Next(Enum):
    """What to do after bytes of a body were moved."""

    GO_ON = auto()
    """Moving more."""
    WAIT = auto()
    """Waiting until more has come."""
    GIVE_BACK = auto()
    """Giving the rest back: the server must read what comes next, which may be the end."""


class SocketBody(Protocol):
    """The rest of a body. The server reads nothing more of it until it is given back.

    Attributes:
        moved_bytes: how many bytes `move` has taken.
    """

    moved_bytes: int

    async def take(self, received_bytes: int) -> bool | None:
        """Takes it over, once nothing of it is in the memory of this process.

        Args:
            received_bytes: what the app has received of the body.

        Returns:
            Whether `move` may be called; None if the app has to receive more first, which does not wait for the client.
        """

    def move(self, write: Callable[[int, int], None], most_bytes: int) -> Next:
        """Moves bytes that are there, for a short time. It blocks, so call it in a thread.

        Args:
            write: is called with the descriptor of a pipe, and how many bytes are in it. It takes all of them.
            most_bytes: the most bytes to move.

        Returns:
            What to do next.

        Raises:
            Exception: what `write` has raised. The bytes in the pipe are lost.
        """

    async def wait(self) -> bool:
        """Waits until there is something to move, but not for long. Returns whether there is."""

    async def give_back(self) -> None:
        """Lets the server read again. `move` must have returned."""


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

    def hold_body(self) -> SocketBody | None:
        """Has the server stop reading, so that the rest of the body can be taken from the socket.

        Returns:
            The rest; None if the server cannot do that, and reads on. It must be given back, even if it was not taken.
        """

    async def break_off(self, *, is_read: bool) -> None:
        """Ends an answer so that the client knows that it is incomplete.

        Args:
            is_read: whether the client reads what it is sent.
        """


def line_of(scope: Mapping[str, Any]) -> Line | None:
    """The line of a request; None with a server that offers none, as in tests of the app alone."""
    line: Line | None = (scope.get("state") or {}).get(LINE_KEY)
    return line
