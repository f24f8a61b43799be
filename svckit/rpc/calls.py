"""Calls that raise domain errors: each kind of gRPC call, with its failures translated.

What goes in and comes out is typed by the generated stubs; here it is `Any`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from svckit.errors.status import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable

    from svckit.errors import DomainError


class RequestSource:
    """The requests that a client streams, with what went wrong while making them.

    When the source of a stream raises (a browser that hangs up in the middle of an upload), gRPC cancels the call and
    drops the exception, and who awaits the call sees itself cancelled. Kept here, it can be raised where it belongs.
    """

    def __init__(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Wraps what the client gave."""
        self._requests = requests
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            if hasattr(self._requests, "__aiter__"):
                async for request in self._requests:
                    yield request
            else:
                for request in self._requests:
                    yield request
        except Exception as error:
            self.failure = error
            raise


class _Call(grpc.aio.Call):
    """What all kinds of call have: passed through to the call of gRPC."""

    def __init__(self, call: Any, source: RequestSource | None = None) -> None:
        self._call = call
        self._source = source

    def cancelled(self) -> bool:
        return bool(self._call.cancelled())

    def done(self) -> bool:
        return bool(self._call.done())

    def time_remaining(self) -> float | None:
        remaining: float | None = self._call.time_remaining()
        return remaining

    def cancel(self) -> bool:
        return bool(self._call.cancel())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        metadata: grpc.aio.Metadata = await self._call.initial_metadata()
        return metadata

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        metadata: grpc.aio.Metadata = await self._call.trailing_metadata()
        return metadata

    async def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = await self._call.code()
        return code

    async def details(self) -> str:
        details: str = await self._call.details()
        return details

    async def wait_for_connection(self) -> None:
        try:
            await self._call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def _own_failure(self) -> Exception | None:
        return None if self._source is None else self._source.failure

    def _told(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The error that the server told, where gRPC's own has taken its place."""
        return error

    async def _why_it_ended(self) -> DomainError | None:
        """The error that a finished call means; None if it went well."""
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return None
        metadata = await self._call.trailing_metadata()
        return from_rpc_error(
            grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=await self._call.details())
        )


class _SingleAnswer(_Call):
    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(self._told(error)) from error
        except asyncio.CancelledError:
            if (failure := self._own_failure()) is not None:
                raise failure from None
            raise


class _StreamedAnswer(_Call):
    async def __aiter__(self) -> AsyncIterator[Any]:
        """The answers. Leaving the loop early ends the call."""
        try:
            async for answer in self._call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(self._told(error)) from error
        except asyncio.CancelledError:
            if (failure := self._own_failure()) is not None:
                raise failure from None
            raise
        finally:
            if not self._call.done():
                self._call.cancel()

    async def read(self) -> Any:
        """One answer, or `grpc.aio.EOF`."""
        try:
            return await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(self._told(error)) from error


class _StreamedRequests(_Call):
    """Hears what the server says though it comes in the middle of a write.

    gRPC gives a call whose write fails an error of its own, and puts it into the place of the server's where that one
    was quicker: a refusal would arrive as INTERNAL, now and then. So each status is looked at when it arrives.
    """

    def __init__(self, call: Any, source: RequestSource | None = None) -> None:
        super().__init__(call, source)
        self._said: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._hear)

    async def write(self, request: Any) -> None:
        """Sends one request. Raises DomainError if the server has ended the call meanwhile, with what it said."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise await self._refusal(error) from error

    async def done_writing(self) -> None:
        """Says that no more requests come."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise await self._refusal(error) from error

    async def _refusal(self, error: Exception) -> Exception:
        """What the server said; the write itself only knows that the call is over."""
        why = await self._why_it_ended()
        return why or error if self._said is None else from_rpc_error(self._said)

    def _told(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        return error if self._said is None else self._said

    def _hear(self, call: Any) -> None:
        # With a status there is nothing to wait for.
        code, metadata = _at_once(call.code()), _at_once(call.trailing_metadata())
        # gRPC's own comes without metadata; where a server's does too, nothing is lost by taking one for the other.
        is_own = code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED} and not metadata
        if code is not grpc.StatusCode.OK and not is_own:
            self._said = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=_at_once(call.details()))


class UnaryUnaryCall(_SingleAnswer, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one answer: `answer = await call`."""


class UnaryStreamCall(_StreamedAnswer, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, many answers: `async for answer in call`."""


class StreamUnaryCall(_SingleAnswer, _StreamedRequests, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many requests, one answer."""

    async def _refusal(self, error: Exception) -> Exception:
        # A write that fails leaves a status of gRPC's own until the answer brings the server's.
        try:
            await self._call
        except grpc.aio.AioRpcError as told:
            return from_rpc_error(self._told(told))
        return error


class StreamStreamCall(_StreamedAnswer, _StreamedRequests, grpc.aio.StreamStreamCall[Any, Any]):
    """Many requests, many answers."""


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    coroutine.close()
    raise RuntimeError("a call that has ended has no status yet")
