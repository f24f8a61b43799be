"""Long streams: RPCs that stay open while nothing happens, such as watches, followed logs and followed reads.

A contract says `option (roadstead.options.v1.call).long_lived = true`, and the server does the rest. The call is first
admitted as one of the calls in flight. From then on it counts as a long stream, which have places of their own
(`svckit.rpc.server_places`). When the server drains, each stream ends with GOING_AWAY. A servicer needs no code for
this if it writes

    async for item in follow(read_page, position, notifier):  # svckit.rpc.follow
        yield item

or waits with `current_stream().wait_for(...)`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from svckit.errors import DomainError, error_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

# How long a handler may take to end by itself when the server drains.
_ENDING_SECONDS = 0.25
# A change wakes all watches at once. Only a few of them may read at the same time. Otherwise they would use all
# database connections, and calls in flight would have none: the limit of calls in flight does not count long streams.
_READING_AT_ONCE = 2


class LongStreams:
    """The long streams of one server.

    Attributes:
        is_ending: whether the server drains. Then no new stream is admitted.
    """

    def __init__(self) -> None:
        """Starts without streams."""
        self.is_ending = False
        self._open: set[LongStream] = set()
        self._reading = asyncio.Semaphore(_READING_AT_ONCE)

    @contextmanager
    def opened(self) -> Iterator[LongStream]:
        """One more stream, which is the current one of this task, inside the block.

        Raises:
            DomainError: GOING_AWAY if the server drains.
        """
        if self.is_ending:
            raise _going_away()
        stream = LongStream(self._reading)
        self._open.add(stream)
        _current.set(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def end(self) -> None:
        """Ends all streams with GOING_AWAY."""
        self.is_ending = True
        for stream in self._open:
            stream.end()


class LongStream:
    """One stream, as its handler sees it.

    Attributes:
        is_ending: whether the server drains.
    """

    __slots__ = ("_allowed", "_reading", "_waiting", "is_ending")

    def __init__(self, reading: asyncio.Semaphore) -> None:
        """Made by `LongStreams.opened`."""
        self.is_ending = False
        self._reading = reading
        # The time-out of the whole handler, and that of its current wait.
        self._allowed: asyncio.Timeout | None = None
        self._waiting: asyncio.Timeout | None = None

    def end(self) -> None:
        """Tells the handler to end. If it has not ended after a quarter of a second, it is cancelled."""
        self.is_ending = True
        _reschedule(self._allowed, _ENDING_SECONDS)
        _reschedule(self._waiting, 0)

    def raise_if_ending(self) -> None:
        """Call this between two messages.

        Raises:
            DomainError: GOING_AWAY if the server drains.
        """
        if self.is_ending:
            raise _going_away()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the handler in the block. It has no time limit until the server drains.

        Raises:
            DomainError: GOING_AWAY if the server drains and the block has not ended by itself in time.
        """
        try:
            async with asyncio.timeout(None) as self._allowed:
                yield
        except TimeoutError:
            if self._allowed is None or not self._allowed.expired():
                raise
            raise _going_away() from None
        finally:
            self._allowed = None

    async def wait_for(self, event: Awaitable[object], seconds: float | None = None) -> bool:
        """Waits for an event, or until the server drains.

        Args:
            event: an awaitable such as `asyncio.Event().wait()`. It is cancelled if the wait ends without it.
            seconds: the longest wait; None for no limit.

        Returns:
            Whether the event happened in time.

        Raises:
            DomainError: GOING_AWAY if the server drains.
        """
        try:
            async with asyncio.timeout(0 if self.is_ending else seconds) as self._waiting:
                await event
        except TimeoutError:
            if self._waiting is None or not self._waiting.expired():
                raise
            self.raise_if_ending()
            return False
        finally:
            self._waiting = None
        return True

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Waits until this stream may read: only a few may at the same time. The unit of work must end in the block.

        Raises:
            DomainError: GOING_AWAY if the server drains.
        """
        self.raise_if_ending()
        async with self._reading:
            yield


_current: ContextVar[LongStream] = ContextVar("roadstead_long_stream")


def current_stream() -> LongStream:
    """The long stream that this task serves.

    Raises:
        LookupError: there is none: the contract does not declare the RPC as long-lived.
    """
    return _current.get()


def _reschedule(timeout: asyncio.Timeout | None, seconds: float) -> None:
    if timeout is not None and not timeout.expired():
        timeout.reschedule(asyncio.get_running_loop().time() + seconds)


def _going_away() -> DomainError:
    return error_for("GOING_AWAY")
