"""One HTTP exchange: builds the request, gets the answer from the app, and sends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Protocol, cast

from gateway.wire.admission import Admission, Visit
from gateway.wire.answer import Answer, encoded
from gateway.wire.body import ClientGone, Receive
from gateway.wire.errors import error_for_path
from gateway.wire.file_body import LARGEST_PIECE_BYTES, FileBody
from gateway.wire.line import Line, line_of
from gateway.wire.request import GatewayRequest
from gateway.wire.target import with_path
from svckit.errors import DomainError
from svckit.logging import get_logger, request_context
from svckit.pace import Patience

Send = Callable[[Any], Awaitable[None]]

_DISCARDED_BYTES = 4 * 1024 * 1024
_DISCARDING_SECONDS = 5.0
_DISCARDING_AT_ONCE = 8
_SLICE_BYTES = 256 * 1024
_TLS_SLICE_BYTES = 64 * 1024
# A client may have so much of an answer without reading it: the system's own buffers hold it.
_SMALL_BYTES = 64 * 1024
CLIENT_GONE = 499
"""The status that is logged when the client disconnected before it got an answer."""
_STATUSES_WITHOUT_BODY = frozenset({204, 304})

log = get_logger(__name__)


class _AnswerAborted(Exception):
    """An answer was begun and cannot be finished."""


class _TooSlow(_AnswerAborted):
    """It cannot be finished because its client does not read it."""


class Edge(Protocol):
    """The app behind a connection."""

    admission: Admission
    in_flight: int
    discarding: int

    async def answer(self, request: GatewayRequest) -> Answer:
        """Answers one request. Raises only ClientGone, and errors that are bugs of the gateway."""

    def fault(self, request: GatewayRequest, error: Exception) -> Answer:
        """The answer to a request that failed because of a bug of the gateway."""

    def finished(self, request: GatewayRequest, status: int, sent_bytes: int, seconds: float) -> None:
        """Logs and counts a finished request."""


class HttpConnection:
    """Serves one request in the task that the server has made for it."""

    def __init__(self, edge: Edge, scope: Mapping[str, Any]) -> None:
        """Takes the app and the ASGI scope."""
        self._edge = edge
        self._scope = with_path(scope)
        self._sent_bytes = 0
        self._status = CLIENT_GONE
        self._line: Line | None = None

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Serves the request."""
        began = time.perf_counter()
        self._edge.in_flight += 1
        line = self._line = line_of(self._scope)
        visit = Visit(self._edge.admission, None if line is None else line.connection)
        request = GatewayRequest(self._scope, receive, line, visit)
        body: bytes | AsyncIterator[bytes] = b""
        with request_context(request.request_id, request.trace_id):
            try:
                answer = await self._answer(request)
                body = answer.body
                await self._send(request, answer, send)
            except ClientGone:
                self._status = CLIENT_GONE
            except _AnswerAborted as aborted:
                log.warning("answer aborted", route=request.route, why=str(aborted), sent_bytes=self._sent_bytes)
                if line is not None:
                    await line.break_off(is_read=not isinstance(aborted, _TooSlow))
            finally:
                if request.may_have_body:
                    request.body.abandon()
                if not isinstance(body, bytes):
                    await _close(body)
                visit.leave()
                self._edge.in_flight -= 1
                self._edge.finished(request, self._status, self._sent_bytes, time.perf_counter() - began)

    async def _answer(self, request: GatewayRequest) -> Answer:
        try:
            return await self._edge.answer(request)
        except ClientGone:
            raise
        except Exception as error:
            return self._edge.fault(request, error)

    async def _send(self, request: GatewayRequest, answer: Answer, send: Send) -> None:
        if isinstance(answer.body, bytes) and len(answer.body) > _SMALL_BYTES:
            answer = self._held(request, answer, len(answer.body))
        self._status = answer.status
        headers = encoded(answer.headers)
        headers.append((b"x-request-id", request.request_id.encode("latin-1")))
        if self._line is not None:
            headers.extend(self._line.headers)
        body = answer.body
        length = _length_of(headers)
        if length is None and isinstance(body, bytes) and answer.status not in _STATUSES_WITHOUT_BODY:
            headers.append((b"content-length", str(len(body)).encode("ascii")))
        # Only HTTP/1 has a Connection header; HTTP/2 resets the stream instead.
        unread = not request.body.complete and request.may_have_body
        settles = self._line is not None and self._line.settles_unread_bodies
        if unread and not settles and request.http_version.startswith("1"):
            headers.append((b"connection", b"close"))
        patience = Patience(request.visit.pace)
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        if isinstance(body, bytes) and len(body) <= _SMALL_BYTES and not unread:
            await self._send_small(start, body, send, patience)
            return
        await _in_time(patience, send(start))
        if isinstance(body, bytes):
            await self._send_pieces(body, send, patience)
            if unread:
                await self._discard(request)
            await _in_time(patience, send(_piece(b"", more=False)))
        elif request.method == "HEAD":
            await _in_time(patience, send(_piece(b"", more=False)))
        else:
            await self._stream(request, body, length, send, patience)

    async def _send_small(self, start: dict[str, object], body: bytes, send: Send, patience: Patience) -> None:
        """Sends an answer that the system's own buffers hold: nearly all of them."""
        try:
            await patience.wait_for(send(start))
            await patience.wait_for(send(_piece(body, more=False)))
        except TimeoutError:
            raise _too_slow() from None
        self._sent_bytes += len(body)

    async def _stream(
        self,
        request: GatewayRequest,
        body: AsyncIterator[bytes],
        length: int | None,
        send: Send,
        patience: Patience,
    ) -> None:
        """Sends the body piece by piece, until it ends, the client disconnects, or the client stops reading."""
        if request.scheme == "https":
            # What is encrypted waits in this process twice, in buffers of the TLS library.
            slice_bytes = _TLS_SLICE_BYTES
        elif isinstance(body, FileBody) and request.http_version.startswith("1"):
            # The pieces of a file suit the client already. With HTTP/2 they may wait in this process, as slices.
            slice_bytes = LARGEST_PIECE_BYTES
        else:
            slice_bytes = _SLICE_BYTES
        await self._discard(request)
        task = asyncio.current_task()
        disconnect = asyncio.ensure_future(request.body.wait_for_disconnect())
        streaming, disconnected = True, False

        def cancel_stream(watch: asyncio.Future[None]) -> None:
            # The server ignores writes to a closed connection without an error. Without this callback the whole body
            # would be read although the client has disconnected.
            nonlocal disconnected
            if streaming and task is not None and not watch.cancelled():
                disconnected = True
                task.cancel()

        disconnect.add_done_callback(cancel_stream)
        try:
            async with aclosing(cast("AsyncGenerator[bytes]", body)) as pieces:
                async for piece in pieces:
                    await self._send_pieces(piece, send, patience, slice_bytes)
        except asyncio.CancelledError:
            if not disconnected or task is None or task.uncancel() > 0:
                raise
            # A client that has read the whole body may disconnect before the answer ends. That is no failure.
            if self._sent_bytes != length:
                raise ClientGone from None
        except (ClientGone, _AnswerAborted):
            raise
        except Exception as error:
            raise _AnswerAborted(f"the source of the body failed: {error}") from error
        finally:
            streaming = False
            disconnect.cancel()
            request.body.abandon()
        await _in_time(patience, send(_piece(b"", more=False)))

    def _held(self, request: GatewayRequest, answer: Answer, size_bytes: int) -> Answer:
        """The answer, with its memory counted; another one if there is no memory for it while the client reads."""
        try:
            request.visit.hold(size_bytes)
        except DomainError as error:
            return error_for_path(request.raw_target, error)
        return answer

    async def _discard(self, request: GatewayRequest) -> None:
        """Drops the rest of a body. Only a few clients at once get this: the others see a closed connection."""
        body = request.body
        if body.complete:
            return
        request.visit.leave_requests()
        if self._edge.discarding < _DISCARDING_AT_ONCE:
            self._edge.discarding += 1
            try:
                await body.discard(_DISCARDED_BYTES, _DISCARDING_SECONDS)
            finally:
                self._edge.discarding -= 1
        body.abandon()

    async def _send_pieces(self, body: bytes, send: Send, patience: Patience, slice_bytes: int = _SLICE_BYTES) -> None:
        # In slices: the server copies what the client does not read at once.
        for start in range(0, len(body), slice_bytes):
            piece = body if len(body) <= slice_bytes else body[start : start + slice_bytes]
            await _in_time(patience, send(_piece(piece, more=True)))
            patience.earn(len(piece))
            self._sent_bytes += len(piece)


async def _in_time(patience: Patience, sending: Awaitable[None]) -> None:
    """Sends something.

    Raises:
        _TooSlow: the client does not read, and has used up its time.
    """
    try:
        await patience.wait_for(sending)
    except TimeoutError:
        raise _too_slow() from None


def _too_slow() -> _TooSlow:
    return _TooSlow("the client reads too slowly")


def _length_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    length = dict(headers).get(b"content-length")
    return None if length is None else int(length)


def _piece(body: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _close(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
