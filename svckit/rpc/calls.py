"""Calls that raise domain errors: a wrapper for each kind of gRPC call that translates its failures.

Requests and answers are `Any` here; the generated stubs have their types.
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
    """The requests that a client streams. Keeps the error if their source raises one.

    When the source of a stream raises (a browser disconnects in the middle of an upload), gRPC cancels the call and
    drops the exception, and the code that awaits the call gets a CancelledError. The exception is kept here, so that it
    can be raised instead.
    """

    def __init__(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Wraps the client's requests."""
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
    """The methods that all kinds of call have. They are passed through to gRPC's call."""

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

    def _source_failure(self) -> Exception | None:
        return None if self._source is None else self._source.failure

    def _server_error(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The server's error, if gRPC has replaced it by an error of its own."""
        return error

    async def _final_error(self) -> DomainError | None:
        """The error of a finished call; None if it succeeded."""
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
            raise from_rpc_error(self._server_error(error)) from error
        except asyncio.CancelledError:
            if (failure := self._source_failure()) is not None:
                raise failure from None
            raise


class _StreamedAnswer(_Call):
    async def __aiter__(self) -> AsyncIterator[Any]:
        """The answers. Leaving the loop early cancels the call."""
        try:
            async for answer in self._call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(self._server_error(error)) from error
        except asyncio.CancelledError:
            if (failure := self._source_failure()) is not None:
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
            raise from_rpc_error(self._server_error(error)) from error


class _StreamedRequests(_Call):
    """Keeps the server's error when it arrives in the middle of a write.

    When a write fails, gRPC sets an error of its own, even if the server's error arrived before. Without this class, a
    refusal of the server would sometimes become INTERNAL. So each status is read when it arrives.
    """

    def __init__(self, call: Any, source: RequestSource | None = None) -> None:
        super().__init__(call, source)
        self._received_error: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._keep_error)

    async def write(self, request: Any) -> None:
        """Sends one request. If the server has ended the call meanwhile, raises its DomainError."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise await self._refusal(error) from error

    async def done_writing(self) -> None:
        """Ends the stream of requests."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise await self._refusal(error) from error

    async def _refusal(self, error: Exception) -> Exception:
        """The server's error. The failed write itself only says that the call is over."""
        final = await self._final_error()
        return final or error if self._received_error is None else from_rpc_error(self._received_error)

    def _server_error(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        return error if self._received_error is None else self._received_error

    def _keep_error(self, call: Any) -> None:
        # The call is done, so these coroutines return without waiting.
        code, metadata = _run_now(call.code()), _run_now(call.trailing_metadata())
        # An error of gRPC itself has no metadata. If a server's error has none either, both mean the same.
        is_own = code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED} and not metadata
        if code is not grpc.StatusCode.OK and not is_own:
            details = _run_now(call.details())
            self._received_error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=details)


class UnaryUnaryCall(_SingleAnswer, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one answer: `answer = await call`."""


class UnaryStreamCall(_StreamedAnswer, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, many answers: `async for answer in call`."""


class StreamUnaryCall(_SingleAnswer, _StreamedRequests, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many requests, one answer."""

    async def _refusal(self, error: Exception) -> Exception:
        # After a failed write, the call has a status of gRPC itself. The server's status comes with the answer.
        try:
            await self._call
        except grpc.aio.AioRpcError as answer_error:
            return from_rpc_error(self._server_error(answer_error))
        return error


class StreamStreamCall(_StreamedAnswer, _StreamedRequests, grpc.aio.StreamStreamCall[Any, Any]):
    """Many requests, many answers."""


def _run_now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that returns without waiting."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    coroutine.close()
    raise RuntimeError("a call that has ended has no status yet")
