"""One request of Granian's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.servers.granian.peers import PeerConnection


class GranianLine:
    """What Granian offers for a request.

    hyper reads nothing of a body before the app asks for it, sends `100 Continue` then, and closes a connection by
    itself if the body of an answered request was not read.
    """

    settles_unread_bodies = True
    # Granian would put its own name there.
    headers: Sequence[tuple[bytes, bytes]] = ((b"server", b"roadstead"),)

    def __init__(self, connection: PeerConnection | None) -> None:
        """Takes its connection; None over a unix socket."""
        self.connection = connection

    async def open_body(self) -> None:
        """Nothing to do: the body comes when it is read."""

    def hold_body(self) -> None:
        """Granian shows no sockets."""

    async def break_off(self, *, is_read: bool) -> None:
        """Ends an answer so that the client knows that it is incomplete.

        Granian does that when the app returns: it closes the connection, or resets the stream under HTTP/2. But it
        first waits until the client has read what was sent, also under HTTP/2.
        """
        if not is_read and self.connection is not None:
            self.connection.close()


def peer_of(scope: Any) -> tuple[str, int] | None:
    """The peer of a request; None over a unix socket, which has no name."""
    host, port = scope["client"]
    return (host, int(port)) if host else None
