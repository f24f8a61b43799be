"""Hypercorn's connections and its HTTP/1.1, with what its settings do not reach (seen on hypercorn 0.18)."""

from __future__ import annotations

from typing import Any

import h11
import hypercorn.asyncio.run
import hypercorn.asyncio.tcp_server
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import RawData

from gateway.wire.upgrade import PlainHttp1

RECEIVED_BYTES = 256 * 1024
"""What is taken from a socket at once, as much as asyncio reads. Each piece of a body costs the same, however large:
with Hypercorn's own 64 KiB a large upload cost this process a seventh more CPU."""

_JOINED_BYTES = 64 * 1024
_CLOSE = (b"connection", b"close")


class PromptConnection(TCPServer):
    """A connection that ends when its client has closed it.

    Hypercorn's own waits first until it would have been idle for too long, 75 s with its file descriptor: 400 requests,
    each over a connection of its own, left 400 descriptors open.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        # Begun as well when an answer is done whose client has gone meanwhile.
        if not self.reader.at_eof():
            await super()._idle_timeout()


class LeanHttp1(PlainHttp1):
    """Sends the head of an answer together with the beginning of its body: one packet, where there were two."""

    _head = b""

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data: bytes = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        # Before a close it goes out by itself: the app may still be reading what the client sends (`wire.connection`).
        if isinstance(event, h11.Response) and _CLOSE not in event.headers:
            self._head = data
            return
        head, self._head = self._head, b""
        if head and len(data) > _JOINED_BYTES:
            await self.send(RawData(data=head))
            head = b""
        if head or data:
            await self.send(RawData(data=head + data))


def install() -> None:
    """Has Hypercorn use them in this process: there is no setting for the classes."""
    runner: Any = hypercorn.asyncio.run
    runner.TCPServer = PromptConnection
    server: Any = hypercorn.asyncio.tcp_server
    server.MAX_RECV = RECEIVED_BYTES
    protocols: Any = hypercorn.protocol
    protocols.H11Protocol = LeanHttp1
