"""Hypercorn's connections and HTTP/1.1, with changes for which Hypercorn has no setting (hypercorn 0.18)."""

from __future__ import annotations

from typing import Any

import h11
import hypercorn.asyncio.run
import hypercorn.asyncio.tcp_server
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import RawData

from gateway.wire.upgrade import NoUpgradeHttp1

RECEIVED_BYTES = 256 * 1024
"""How much is read from a socket at once; asyncio itself reads this much. Each piece of a body costs the same CPU
time, whatever its size: with Hypercorn's 64 KiB, a large upload took a seventh more CPU time in this process."""

_JOINED_BYTES = 64 * 1024
_CLOSE = (b"connection", b"close")


class PromptCloseConnection(TCPServer):
    """A connection that ends as soon as its client has closed it.

    Hypercorn's own connection first waits for the idle time-out (75 s) and keeps its file descriptor open until then:
    400 requests, each over a new connection, left 400 descriptors open.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        # Hypercorn starts this timer also after an answer whose client has disconnected meanwhile. That connection must
        # not stay open for the idle time-out.
        if not self.reader.at_eof():
            await super()._idle_timeout()


class JoinedHeadHttp1(NoUpgradeHttp1):
    """Sends the head of an answer together with the beginning of its body: one packet instead of two."""

    _head = b""

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data: bytes = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        # With `Connection: close` the head is sent at once: the app may still be reading the request body
        # (`wire.connection`), and the client must see the answer meanwhile.
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
    """Makes Hypercorn use these classes in this process. Hypercorn has no setting for them."""
    runner: Any = hypercorn.asyncio.run
    runner.TCPServer = PromptCloseConnection
    server: Any = hypercorn.asyncio.tcp_server
    server.MAX_RECV = RECEIVED_BYTES
    protocols: Any = hypercorn.protocol
    protocols.H11Protocol = JoinedHeadHttp1
