"""HTTP/1.1 for requests as clients usually send them, read by httptools and written by hand.

h11 reads and writes in Python: a quarter of the gateway's time for a manifest. What is usual is: a head that httptools
reads, with one Host, and no body, one with a length, or a chunked one. Anything else, such as two lengths, an unknown
method or a malformed head, goes to the class on h11, with everything that comes after it on the same connection. So
that class alone decides what is refused, and how. `framing` says the same of chunks.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import h11
import httptools
import hypercorn.protocol
import hypercorn.protocol.h11
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.typing import WorkerContext

from gateway.servers.hypercorn.framing import ChunkedBody, Framing, SizedBody
from gateway.servers.hypercorn.gated import CONNECTION_KEY, BodyWanted, GatedStream
from gateway.servers.hypercorn.handover import HeldBody, held_body
from gateway.servers.hypercorn.http1 import JoinedHeadHttp1, refusal

_STREAM = 1
# Most end with CR LF CR LF. h11 also takes lines without CR.
_ENDS_OF_HEAD = (b"\n\r\n", b"\n\n")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
# An answer up to this size is sent together with its head.
_JOINED_BYTES = 64 * 1024
# A length of more digits is none that a blob can have.
_LONGEST_LENGTH = 15
_UNUSUAL = frozenset({b"upgrade", b"http2-settings"})
# httptools takes some lines that are none.
_REQUEST_LINE = re.compile(rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1\r\n")
_FOLDED = re.compile(rb"\r\n[ \t]")
_NOT_IN_A_HEADER = re.compile(rb"[\x00\r\n]")
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus}
_NEVER_A_BODY = frozenset({204, 304})


class _Head:
    """The head of a request. httptools calls its methods."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def values(self, wanted: bytes) -> list[bytes]:
        return [value for name, value in self.headers if name == wanted]


class QuickHttp1:
    """One connection. Has the methods of Hypercorn's protocols, and takes what they take.

    Attributes:
        passed_bytes: how many bytes of the present body the app has got, or will get before any others.
    """

    def __init__(self, *given: Any) -> None:
        """Has the signature that Hypercorn calls."""
        self._given = given
        self._app, config, context, self._tasks, self._state, self._tls, self._client, self._server, self._send = given
        self._config: Config = config
        self._context: WorkerContext = context
        self._slow: JoinedHeadHttp1 | None = None
        self._held = b""
        self._stream: GatedStream | None = None
        self._ended = context.event_class()
        self._method = b""
        self._body: Framing = SizedBody(0)
        self.passed_bytes = 0
        self._asks_to_go_on = False
        self._is_last = False
        self._is_over = False
        self._requests = 0
        self._forget_answer()

    async def initiate(self) -> None:
        """Nothing to do."""

    async def handle(self, event: Event) -> None:
        """Handles what comes from the connection."""
        if self._slow is not None:
            await self._slow.handle(event)
        elif isinstance(event, RawData):
            self._held += event.data
            await self._go_on()
        elif isinstance(event, Closed):
            self._is_over = True
            await self._close_stream()
            await self._ended.set()

    async def stream_send(self, event: StreamEvent) -> None:
        """Sends what a request has to send."""
        if self._body.fault is not None:
            # The connection ends, and its client has been told why.
            return
        match event:
            case Response():
                await self._send_head(event)
            case Body():
                await self._send_body(event.data)
            case EndBody():
                await self._send_end()
            case StreamClosed():
                await self._end_exchange()
            case BodyWanted():
                if self._asks_to_go_on and not self._status:
                    self._asks_to_go_on = False
                    await self._send(RawData(_CONTINUE))

    @property
    def holds_bytes(self) -> bool:
        """Whether it has bytes that it has not passed on."""
        return bool(self._held)

    async def go_on(self, moved_bytes: int) -> None:
        """Goes on with a body, after so many bytes of it went another way."""
        self.passed_bytes += moved_bytes
        if moved_bytes and self._body.has_ended and self._stream is not None:
            await self._stream.handle(EndBody(stream_id=_STREAM))

    def _hold(self) -> HeldBody | None:
        connection: Any = self._state.get(CONNECTION_KEY)
        return None if connection is None else held_body(connection.stream, self._body, self)

    async def _go_on(self) -> None:
        while self._held and self._slow is None and not self._is_over:
            if self._stream is None:
                if not await self._begin():
                    return
            elif not self._body.has_ended:
                if not await self._take():
                    return
            else:
                # The next request waits until this one is answered.
                await self._ended.clear()
                await self._ended.wait()

    async def _take(self) -> bool:
        """Takes what is there of the body. Returns whether there is more to do now."""
        stream, body = self._stream, self._body
        piece, self._held = body.take(self._held)
        self.passed_bytes += len(piece)
        if piece:
            self._asks_to_go_on = False
            if stream is not None:
                await stream.handle(Body(stream_id=_STREAM, data=piece))
        if body.fault is not None:
            await self._refuse(body.fault)
            return False
        if body.has_ended and stream is not None:
            await stream.handle(EndBody(stream_id=_STREAM))
        return body.has_ended

    async def _refuse(self, fault: h11.RemoteProtocolError) -> None:
        self._is_over = True
        if not self._status:
            await self._send(RawData(refusal(fault.error_status_hint)))
        await self._send(Closed())

    async def _begin(self) -> bool:
        """Begins the next request. Returns whether there is more to do now."""
        raw = _head_of(self._held)
        if not raw and self._may_become_usual():
            return False
        request = self._read(raw)
        if request is None:
            await self._give_up_for_h11()
            return False
        self._held = self._held[len(raw) :]
        await self._send(Updated(idle=False))
        stream = self._stream = GatedStream(
            self._app,
            self._config,
            self._context,
            self._tasks,
            self._tls,
            self._client,
            self._server,
            self.stream_send,
            _STREAM,
        )
        stream.hold = self._hold
        self.passed_bytes = 0
        self._forget_answer()
        self._requests += 1
        await stream.handle(request)
        if self._body.has_ended:
            await stream.handle(EndBody(stream_id=_STREAM))
        return True

    def _may_become_usual(self) -> bool:
        """Whether the beginning of a head may go on as a usual one. It is no control character, and no HTTP/2."""
        held = self._held
        return len(held) <= self._config.h11_max_incomplete_size and held[0] > 0x20 and held[:3] != b"PRI"

    def _read(self, raw: bytes) -> Request | None:
        """The request of a head; None if it is not a usual one."""
        if len(raw) > self._config.h11_max_incomplete_size or not raw.isascii():
            return None
        if _REQUEST_LINE.match(raw) is None or raw.count(b"\n") != raw.count(b"\r\n") or _FOLDED.search(raw):
            return None
        head = _Head()
        parser = httptools.HttpRequestParser(head)
        try:
            parser.feed_data(raw)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        lengths, expected = head.values(b"content-length"), head.values(b"expect")
        codings = head.values(b"transfer-encoding")
        if (
            parser.get_http_version() != "1.1"
            or len(head.values(b"host")) != 1
            or any(name in _UNUSUAL for name, _ in head.headers)
            or len(lengths) + len(codings) > 1
            or any(each.lower() != b"chunked" for each in codings)
            or any(not each.isdigit() or len(each) > _LONGEST_LENGTH for each in lengths)
            or any(each.lower() != b"100-continue" for each in expected)
        ):
            return None
        if codings:
            self._body = ChunkedBody(self._config.h11_max_incomplete_size)
        else:
            self._body = SizedBody(int(lengths[0]) if lengths else 0)
        self._asks_to_go_on = bool(expected) and not self._body.has_ended
        self._is_last = b"close" in b",".join(head.values(b"connection")).lower()
        self._method = parser.get_method()
        return Request(
            stream_id=_STREAM,
            headers=head.headers,
            http_version="1.1",
            method=self._method.decode("ascii").upper(),
            raw_path=head.target,
            state=self._state,
        )

    async def _give_up_for_h11(self) -> None:
        self._slow = JoinedHeadHttp1(*self._given)
        held, self._held = self._held, b""
        await self._slow.handle(RawData(held))

    def _forget_answer(self) -> None:
        self._status = 0
        self._head = b""
        self._left_bytes: int | None = 0
        self._is_answered = False

    async def _send_head(self, event: Response) -> None:
        self._status = status = event.status_code
        headers = [*event.headers, *self._config.response_headers("h11")]
        if self._requests >= self._config.keep_alive_max_requests:
            headers.append((b"connection", b"close"))
        names = {name.lower(): value for name, value in headers}
        closes = b"close" in names.get(b"connection", b"").lower()
        has_body = self._method != b"HEAD" and status not in _NEVER_A_BODY
        length = names.get(b"content-length")
        if not has_body:
            self._left_bytes = 0
        elif length is not None:
            self._left_bytes = int(length)
        else:
            self._left_bytes = None
            headers.append((b"transfer-encoding", b"chunked"))
        if self._is_last and not closes:
            headers.append((b"connection", b"close"))
        self._is_last |= closes
        if any(_NOT_IN_A_HEADER.search(name) or _NOT_IN_A_HEADER.search(value) for name, value in headers):
            raise ValueError("a header of an answer holds a line break")
        lines = b"".join([b"%s: %s\r\n" % pair for pair in headers])
        self._head = (_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status) + lines + b"\r\n"
        if closes:
            # The app may still be reading the body, and the client must see the answer meanwhile.
            await self._flush()

    async def _send_body(self, data: bytes) -> None:
        if self._left_bytes is None:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        elif len(data) > self._left_bytes:
            raise ValueError("an answer is longer than its Content-Length")
        else:
            self._left_bytes -= len(data)
        if len(data) > _JOINED_BYTES:
            await self._flush()
        await self._flush(data)

    async def _send_end(self) -> None:
        if self._left_bytes:
            raise ValueError("an answer is shorter than its Content-Length")
        self._is_answered = True
        await self._flush(_LAST_CHUNK if self._left_bytes is None else b"")

    async def _flush(self, more: bytes = b"") -> None:
        head, self._head = self._head, b""
        if head or more:
            await self._send(RawData(head + more))

    async def _end_exchange(self) -> None:
        # Decided first: what is left of a body must never be taken for a request.
        self._is_over |= (
            self._is_last or not self._is_answered or not self._body.has_ended or self._context.terminated.is_set()
        )
        await self._close_stream()
        await self._send(Closed() if self._is_over else Updated(idle=True))
        self._stream = None
        await self._ended.set()

    async def _close_stream(self) -> None:
        if self._stream is not None:
            await self._stream.handle(StreamClosed(stream_id=_STREAM))


def _head_of(held: bytes) -> bytes:
    """The beginning up to the first empty line; empty if there is none yet."""
    ends = [at + len(end) for end in _ENDS_OF_HEAD if (at := held.find(end)) >= 0]
    return held[: min(ends)] if ends else b""


def install() -> None:
    """Makes Hypercorn use this class in this process, and `GatedStream` behind h11. Hypercorn has no setting for it."""
    h11_streams: Any = hypercorn.protocol.h11
    h11_streams.HTTPStream = GatedStream
    protocols: Any = hypercorn.protocol
    protocols.H11Protocol = QuickHttp1
