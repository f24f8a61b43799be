"""Hypercorn's connections and HTTP/1.1, with changes for which Hypercorn has no setting (hypercorn 0.18)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import h11
import hypercorn.asyncio.run
import hypercorn.asyncio.tcp_server
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import RawData

from gateway.wire.answer import JSON
from gateway.wire.errors import rest_error
from gateway.wire.upgrade import NoUpgradeHttp1
from svckit.errors import error_for

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


_REASON_AT = len(b"HTTP/1.1 200 ")
_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def with_reason(head: bytes, status: int) -> bytes:
    """Adds the reason phrase to the head of an answer.

    Hypercorn has none, and h11 leaves it empty, which HTTP allows. But some clients, such as containerd, show nothing
    else of an error.
    """
    return head[:_REASON_AT] + _REASONS.get(status, b"") + head[_REASON_AT:]


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
        if isinstance(event, h11.Response):
            data = with_reason(data, event.status_code)
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

    async def _send_error_response(self, status_code: int) -> None:
        """Answers a request that h11 could not read, and that the app does not see. Hypercorn would send no body."""
        reason = "HEADERS_TOO_LARGE" if status_code == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE else "BAD_REQUEST"
        body = rest_error(error_for(reason)).body
        if not isinstance(body, bytes):
            raise TypeError("an error is not streamed")
        headers = [("content-type", JSON), ("content-length", str(len(body))), ("connection", "close")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


def install() -> None:
    """Makes Hypercorn use these classes in this process. Hypercorn has no setting for them."""
    runner: Any = hypercorn.asyncio.run
    runner.TCPServer = PromptCloseConnection
    server: Any = hypercorn.asyncio.tcp_server
    server.MAX_RECV = RECEIVED_BYTES
    protocols: Any = hypercorn.protocol
    protocols.H11Protocol = JoinedHeadHttp1
