"""Waits for the first request of a call, which its client may begin and never end.

gRPC would read a single request before it calls the handler, whoever sends it. Nothing counted what had arrived of it:
a hundred requests of 15 MiB without their last byte, of one stranger, took 1.5 GB in ten seconds. So gRPC is told that
each method streams its requests, and the handler reads the only one itself, when its caller has a place. gRPC takes
little of a request that nobody reads.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from svckit.errors import DomainError, error_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from svckit.rpc.held_messages import HeldMessages

T = TypeVar("T")

MAXIMUM_MESSAGE_BYTES = 16 * 1024 * 1024
"""The largest message, in both directions. gRPC's default of 4 MiB is less than the largest manifest."""

# Small requests arrive together with the call.
_AT_ONCE_SECONDS = 0.1
_LONGEST_SECONDS = 60.0


class LateRequests:
    """The requests that one server waits for.

    One that is not there at once may be of any size, and gRPC does not say how much of it has arrived. So it counts as
    the largest one in the memory of its caller, until it is there. A large request on a slow network has its place in
    that memory, and a third one of the same caller has none.
    """

    __slots__ = ("_messages",)

    def __init__(self, messages: HeldMessages) -> None:
        """Takes the memory for large messages."""
        self._messages = messages

    async def wait_for(self, subject: str | None, arrival: Awaitable[T]) -> T:
        """Waits for a request of this caller; None for those without credentials.

        Raises:
            DomainError: OVERLOADED or TOOMANYREQUESTS, there is no memory for it; REQUEST_TIMEOUT.
        """
        late = _Late(self._messages, subject)
        try:
            async with late.limit:
                return await arrival
        except TimeoutError:
            raise late.refusal or error_for("REQUEST_TIMEOUT") from None
        finally:
            late.end()

    def public(self, original: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler to register for a method of gRPC's own with a single request, such as a health check."""

        async def read(context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                request = await self.wait_for(None, context.read())
            except DomainError as error:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.reason)
            if request is grpc.aio.EOF:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no request")
            return request

        async def answer(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await behavior(await read(context), context)

        async def answers(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            async for each in behavior(await read(context), context):
                yield each

        behavior: Any
        if original.response_streaming:
            behavior = original.unary_stream
            return grpc.stream_stream_rpc_method_handler(
                answers, original.request_deserializer, original.response_serializer
            )
        behavior = original.unary_unary
        return grpc.stream_unary_rpc_method_handler(answer, original.request_deserializer, original.response_serializer)


class _Late:
    """Decides what happens if a request is not there at once."""

    __slots__ = ("_messages", "_release", "_subject", "_timer", "_was_called", "limit", "refusal")

    def __init__(self, messages: HeldMessages, subject: str | None) -> None:
        """Starts now."""
        self.limit = asyncio.timeout(None)
        self.refusal: DomainError | None = None
        self._messages = messages
        self._subject = subject
        self._release: Callable[[], None] | None = None
        self._was_called = False
        self._timer = asyncio.get_running_loop().call_later(_AT_ONCE_SECONDS, self._is_late)

    def end(self) -> None:
        """The request is there, or is not waited for any more."""
        self._timer.cancel()
        # It would refer to the frame that has raised it.
        self.refusal = None
        if self._release is not None:
            self._release()

    def _is_late(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._was_called:
            # Once more: if this process was busy, the request may be there, and is taken before the next call.
            self._was_called = True
            self._timer = loop.call_later(_AT_ONCE_SECONDS, self._is_late)
            return
        try:
            self._release = self._messages.reserve(self._subject, MAXIMUM_MESSAGE_BYTES)
        except DomainError as error:
            self.refusal = error
            self.limit.reschedule(loop.time())
        else:
            self.limit.reschedule(loop.time() + _LONGEST_SECONDS)
