"""Bodies that stay outside until the app asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hypercorn.protocol.events import Body, Event, Request, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream

from gateway.wire.connections import Connection
from gateway.wire.line import LINE_KEY, SocketBody

CONNECTION_KEY = "roadstead.connection"
"""Where a request finds its connection: in the state that Hypercorn passes on with it."""


@dataclass(frozen=True)
class BodyWanted(Event):
    """The app wants the body of a stream."""


@dataclass(frozen=True)
class StreamBroken(Event):
    """The app cannot finish the answer of a stream."""


class GatedStream(HTTPStream):
    """One request whose body is not taken from the connection until the app asks for it.

    Hypercorn puts the first pieces of each body into the app's queue, and asks clients that wait (`Expect:
    100-continue`) for it. So a thousand clients without any right to send a body would each fill the queue. Here the
    connection is not read any further, until the app asks or the request ends.

    Attributes:
        hold: what holds the rest of the body in its socket, if the protocol can do that.
    """

    settles_unread_bodies = False
    headers: Sequence[tuple[bytes, bytes]] = ()
    connection: Connection | None = None
    hold: Callable[[], SocketBody | None] | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        """Has the signature that Hypercorn calls."""
        super().__init__(*args, **named)
        self._opened = asyncio.Event()
        self._is_http1 = True

    async def handle(self, event: Event) -> None:
        """Handles one event of the connection."""
        if isinstance(event, Request):
            self._is_http1 = event.http_version.startswith("1")
            self.connection = cast("Any", event.state).get(CONNECTION_KEY)
            event = replace(event, state=cast("Any", {LINE_KEY: self}))
        elif isinstance(event, Body):
            await self._opened.wait()
        elif isinstance(event, StreamClosed):
            self._opened.set()
        await super().handle(event)

    async def open_body(self) -> None:
        """Lets the body in."""
        if not self._opened.is_set():
            self._opened.set()
            await self.send(BodyWanted(stream_id=self.stream_id))

    def hold_body(self) -> SocketBody | None:
        """Holds the rest of the body in its socket, if that can be done."""
        return None if self.hold is None else self.hold()

    async def break_off(self, *, is_read: bool) -> None:
        """Ends an answer so that the client knows that it is incomplete.

        With HTTP/1, the connection is closed when the app returns in the middle of an answer. But Hypercorn first waits
        until the client has read what was sent, so the connection of a client that does not read is closed here.
        With HTTP/2, Hypercorn would leave the stream open, so the stream is reset here.
        """
        if not self._is_http1:
            await self.send(StreamBroken(stream_id=self.stream_id))
        elif not is_read and self.connection is not None:
            self.connection.close()
