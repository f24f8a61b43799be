"""One HTTP exchange: makes the request, has it answered, sends the answer, and keeps the connection honest.

It takes the place of Quart's own, which reads bodies without back-pressure, cuts slow downloads short after a minute
with a status of 200, and runs two tasks for each request.
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
from svckit.logging import get_logger, request_context

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
    from quart import Quart
    from werkzeug.wrappers import Response as WerkzeugResponse

_DISCARDED_BYTES = 4 * 1024 * 1024
_DISCARDING_SECONDS = 5.0
CLIENT_GONE = 499
"""What is logged where nobody was left to be answered."""
_BODILESS = frozenset({204, 304})

log = get_logger(__name__)


class _Broken(Exception):
    """An answer that had begun cannot be finished."""


class Edge(Protocol):
    """What the app behind a connection does."""

    idle_body_seconds: float
    in_flight: int

    async def answer(self, request: GatewayRequest) -> Answer | Response | WerkzeugResponse:
        """Answers one request. Raises only what is a fault of ours, or ClientGone."""

    def fault(self, request: GatewayRequest, error: Exception) -> Answer:
        """The answer to a request that ran into a fault of ours."""

    def finished(self, request: GatewayRequest, status: int, sent_bytes: int, seconds: float) -> None:
        """Takes note of a request that is done."""


class HttpConnection(ASGIHTTPConnection):
    """Serves one request in the one task that the server has made for it."""

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        """As Quart builds it; the app is an `Edge`."""
        super().__init__(app, scope)
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
            except _Broken as broken:
                log.warning("answer broken off", route=request.route, why=str(broken), sent_bytes=self._sent_bytes)
                await self._cut(request, send)
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
        if isinstance(body, bytes) and answer.status not in _BODILESS and _length_of(headers) is None:
            headers.append((b"content-length", str(len(body)).encode("ascii")))
        # HTTP/2 has no such header, and resets a stream instead.
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
        """Sends piece by piece, until the end, until the client has gone, or until it has stopped reading."""
        await request.body.discard(_DISCARDED_BYTES, _DISCARDING_SECONDS)
        task = asyncio.current_task()
        gone = asyncio.ensure_future(request.body.wait_for_disconnect())
        streaming, left = True, False

        def leave(watch: asyncio.Future[None]) -> None:
            # The server swallows writes to a closed connection: only this says that nobody reads any more.
            nonlocal left
            if streaming and task is not None and not watch.cancelled():
                left = True
                task.cancel()

        gone.add_done_callback(leave)
        try:
            async with aclosing(cast("AsyncGenerator[bytes]", body)) as pieces:
                async for piece in pieces:
                    await self._send_in_time(piece, send)
        except asyncio.CancelledError:
            if not left or task is None or task.uncancel() > 0:
                raise
            # Who has read everything may go before we have ended.
            if self._sent_bytes != length:
                raise ClientGone from None
        except (ClientGone, _Broken):
            raise
        except Exception as error:
            raise _Broken(f"the source of the body failed: {error}") from error
        finally:
            streaming = False
            gone.cancel()
            request.body.abandon()
        await _send_body(send, b"", more=False)

    async def _send_in_time(self, piece: bytes, send: ASGISendCallable) -> None:
        try:
            async with asyncio.timeout(self._edge.idle_body_seconds):
                await _send_body(send, piece, more=True)
        except TimeoutError:
            raise _Broken("the client stopped reading") from None
        self._sent_bytes += len(piece)

    async def _cut(self, request: GatewayRequest, send: ASGISendCallable) -> None:
        """Ends an answer so that the client knows that it is not whole.

        Under HTTP/1 the server closes the connection of an app that returns in the middle of an answer. Under HTTP/2
        it would leave the stream open; there, one that ends short of its Content-Length is an error (RFC 9113 §8.1.1).
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
