"""One HTTP exchange: builds the request, gets the answer from the app, and sends it.

This class replaces Quart's own, which has three faults: it reads bodies without back-pressure, it ends slow downloads
after a minute although the status was 200, and it runs two tasks for each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, cast

from quart.asgi import ASGIHTTPConnection
from quart.wrappers import Response

from gateway.wire.answer import Answer
from gateway.wire.body import ClientGone
from gateway.wire.request import GatewayRequest
from gateway.wire.target import with_path
from svckit.logging import get_logger, request_context

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
    from quart import Quart
    from werkzeug.wrappers import Response as WerkzeugResponse

_DISCARDED_BYTES = 4 * 1024 * 1024
_DISCARDING_SECONDS = 5.0
CLIENT_GONE = 499
"""The status that is logged when the client disconnected before it got an answer."""
_STATUSES_WITHOUT_BODY = frozenset({204, 304})

log = get_logger(__name__)


class _AnswerAborted(Exception):
    """An answer was begun and cannot be finished."""


class Edge(Protocol):
    """The app behind a connection."""

    idle_body_seconds: float
    in_flight: int

    async def answer(self, request: GatewayRequest) -> Answer | Response | WerkzeugResponse:
        """Answers one request. Raises only ClientGone, and errors that are bugs of the gateway."""

    def fault(self, request: GatewayRequest, error: Exception) -> Answer:
        """The answer to a request that failed because of a bug of the gateway."""

    def finished(self, request: GatewayRequest, status: int, sent_bytes: int, seconds: float) -> None:
        """Logs and counts a finished request."""


class HttpConnection(ASGIHTTPConnection):
    """Serves one request in the task that the server has made for it."""

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        """Has the signature that Quart calls; the app is an `Edge`."""
        super().__init__(app, with_path(scope))
        self._edge = cast("Edge", app)
        self._sent_bytes = 0
        self._status = CLIENT_GONE

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serves the request."""
        began = time.perf_counter()
        self._edge.in_flight += 1
        request = cast("GatewayRequest", self._create_request_from_scope(send))
        request.body.attach(receive, self._edge.idle_body_seconds)
        with request_context(request.request_id, request.trace_id):
            try:
                answer = await self._answer(request)
                await self._send(request, answer, send)
            except ClientGone:
                self._status = CLIENT_GONE
            except _AnswerAborted as aborted:
                log.warning("answer aborted", route=request.route, why=str(aborted), sent_bytes=self._sent_bytes)
                await self._abort(request, send)
            finally:
                request.body.abandon()
                self._edge.in_flight -= 1
                self._edge.finished(request, self._status, self._sent_bytes, time.perf_counter() - began)

    async def _answer(self, request: GatewayRequest) -> Answer:
        try:
            given = await self._edge.answer(request)
        except ClientGone:
            raise
        except Exception as error:
            given = self._edge.fault(request, error)
        return given if isinstance(given, Answer) else _of_quart(given)

    async def _send(self, request: GatewayRequest, answer: Answer, send: ASGISendCallable) -> None:
        self._status = answer.status
        headers = [(name.lower().encode("ascii"), value.encode("latin-1", "replace")) for name, value in answer.headers]
        headers.append((b"x-request-id", request.request_id.encode("latin-1")))
        body = answer.body
        if isinstance(body, bytes) and answer.status not in _STATUSES_WITHOUT_BODY and _length_of(headers) is None:
            headers.append((b"content-length", str(len(body)).encode("ascii")))
        # Only HTTP/1 has a Connection header; HTTP/2 resets the stream instead.
        unread = not request.body.complete and _may_have_body(request)
        if unread and request.http_version.startswith("1"):
            headers.append((b"connection", b"close"))
        await send(cast("Any", {"type": "http.response.start", "status": answer.status, "headers": headers}))
        if isinstance(body, bytes):
            if unread:
                await _send_body(send, body, more=True)
                self._sent_bytes += len(body)
                await request.body.discard(_DISCARDED_BYTES, _DISCARDING_SECONDS)
                request.body.abandon()
                await _send_body(send, b"", more=False)
            else:
                await _send_body(send, body, more=False)
                self._sent_bytes += len(body)
        elif request.method == "HEAD":
            await _close(body)
            await _send_body(send, b"", more=False)
        else:
            await self._stream(request, body, _length_of(headers), send)

    async def _stream(
        self, request: GatewayRequest, body: AsyncIterator[bytes], length: int | None, send: ASGISendCallable
    ) -> None:
        """Sends the body piece by piece, until it ends, the client disconnects, or the client stops reading."""
        await request.body.discard(_DISCARDED_BYTES, _DISCARDING_SECONDS)
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
                    await self._send_in_time(piece, send)
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
        await _send_body(send, b"", more=False)

    async def _send_in_time(self, piece: bytes, send: ASGISendCallable) -> None:
        try:
            async with asyncio.timeout(self._edge.idle_body_seconds):
                await _send_body(send, piece, more=True)
        except TimeoutError:
            raise _AnswerAborted("the client stopped reading") from None
        self._sent_bytes += len(piece)

    async def _abort(self, request: GatewayRequest, send: ASGISendCallable) -> None:
        """Ends an answer so that the client knows that it is incomplete.

        With HTTP/1, the server closes the connection when the app returns in the middle of an answer. With HTTP/2, the
        server would leave the stream open, so the stream is ended here: a body shorter than its Content-Length is an
        error for the client (RFC 9113 §8.1.1).
        """
        if not request.http_version.startswith("1"):
            await _send_body(send, b"", more=False)


def _of_quart(response: Response | WerkzeugResponse) -> Answer:
    headers = list(response.headers.items())
    if not isinstance(response, Response):
        return Answer(response.status_code, headers, response.get_data())
    return Answer(response.status_code, headers, _pieces(response))


async def _pieces(response: Response) -> AsyncIterator[bytes]:
    async with response.response as pieces:
        async for piece in pieces:
            yield piece.encode() if isinstance(piece, str) else piece


def _length_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    return next((int(value) for name, value in headers if name == b"content-length"), None)


def _may_have_body(request: GatewayRequest) -> bool:
    return (request.content_length or 0) > 0 or "Transfer-Encoding" in request.headers or request.http_version == "2"


async def _send_body(send: ASGISendCallable, body: bytes, *, more: bool) -> None:
    await send(cast("Any", {"type": "http.response.body", "body": body, "more_body": more}))


async def _close(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
