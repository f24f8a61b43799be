"""Calls that stay open, on which batches of reads go one after the other."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import grpc.aio

from svckit.errors import DomainError, error_for
from svckit.errors.status import is_answered

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc.aio import StreamStreamCall

Q = TypeVar("Q")
A = TypeVar("A")

LONGEST_SECONDS: Final = 60.0
"""How long a stream is used. metasvc judges a stream when it begins, and a new one may reach another replica."""
_MOST_STREAMS = 2
# So long no stream is tried after one has failed: metasvc may not know the RPC, or may have no place for it.
_PAUSE_SECONDS = 1.0
_ENDING_SECONDS = 5.0


class _Stream:
    """An open call."""

    __slots__ = ("call", "is_old", "timer")

    def __init__(self, call: StreamStreamCall[Any, Any]) -> None:
        self.call = call
        self.is_old = False
        self.timer: asyncio.TimerHandle | None = None


class BatchStreams(Generic[Q, A]):
    """Streams to one RPC. Only one batch at a time is under way on each, so no batch waits for another one here.

    To open a call for each batch would take both sides twice as much CPU time. Whatever a stream cannot do, a call of
    its own can. So a batch is never refused here: it only takes the other way. One that hits a bug fails at once.
    """

    def __init__(
        self, open_call: Callable[[], StreamStreamCall[Q, A]], *, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        """Opens nothing yet.

        Args:
            open_call: begins a call of the RPC.
            longest_seconds: how long a stream is used.
        """
        self._open_call = open_call
        self._longest_seconds = longest_seconds
        self._idle: list[_Stream] = []
        self._open = 0
        self._paused_until = 0.0
        # asyncio itself keeps only weak references to tasks.
        self._ending: set[asyncio.Task[None]] = set()

    async def ask(self, request: Q, seconds: float | None) -> A | None:
        """The answer to a batch; None if it must be sent by a call of its own.

        Args:
            request: the batch.
            seconds: how long to wait; None for no limit.

        Raises:
            DomainError: UNAVAILABLE, it was not answered in time; INTERNAL, the service could not answer the batch.
        """
        stream = self._take()
        if stream is None:
            return None
        answer: Any = grpc.aio.EOF
        try:
            async with asyncio.timeout(seconds):
                await stream.call.write(request)
                answer = await stream.call.read()
        except TimeoutError:
            raise error_for("UNAVAILABLE", "metasvc has not answered in time") from None
        except (DomainError, asyncio.InvalidStateError) as error:
            # The second one is gRPC's, for a call that has just ended.
            if isinstance(error, DomainError) and error.reason == "INTERNAL" and is_answered(error):
                # A second attempt would fail in the same way, and be logged a second time.
                raise
            self._paused_until = asyncio.get_running_loop().time() + _PAUSE_SECONDS
        finally:
            if answer is grpc.aio.EOF:
                self._drop(stream)
                stream.call.cancel()
            else:
                self._give_back(stream)
        return None if answer is grpc.aio.EOF else answer

    def _take(self) -> _Stream | None:
        while self._idle:
            stream = self._idle.pop()
            if not stream.call.done():
                return stream
            self._drop(stream)
        loop = asyncio.get_running_loop()
        if self._open >= _MOST_STREAMS or loop.time() < self._paused_until:
            return None
        stream = _Stream(self._open_call())
        self._open += 1
        stream.timer = loop.call_later(self._longest_seconds, self._retire, stream)
        return stream

    def _give_back(self, stream: _Stream) -> None:
        if stream.is_old:
            self._end(stream)
        else:
            self._idle.append(stream)

    def _retire(self, stream: _Stream) -> None:
        stream.is_old = True
        if stream in self._idle:
            self._idle.remove(stream)
            self._end(stream)

    def _drop(self, stream: _Stream) -> None:
        self._open -= 1
        if stream.timer is not None:
            stream.timer.cancel()

    def _end(self, stream: _Stream) -> None:
        self._drop(stream)
        task = asyncio.get_running_loop().create_task(_end(stream.call), context=Context())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _end(call: StreamStreamCall[Any, Any]) -> None:
    try:
        async with asyncio.timeout(_ENDING_SECONDS):
            await call.done_writing()
            await call.read()
    except (DomainError, TimeoutError, asyncio.InvalidStateError):
        call.cancel()
