"""Long streams: RPCs that stay open while nothing happens, such as watches, followed logs and followed reads.

A contract says `option (roadstead.options.v1.call).long_lived = true`, and the server does the rest. The call is first
admitted as one of the calls in flight. From then on it counts as a long stream. Long streams have two limits: one for
all together, and one for each caller. When the server drains, each stream ends with GOING_AWAY. A servicer needs no
code for this if it writes

    async for item in follow(read_page, position, notifier):  # svckit.rpc.follow
        yield item

or waits with `current_stream().wait_for(...)`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from svckit.errors import DomainError, error_for
from svckit.rpc.inflight import InFlight

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

    def __init__(self, limit: int, limit_per_caller: int) -> None:
        """Starts without streams.

        Args:
            limit: the most streams.
            limit_per_caller: the most streams of one subject. All anonymous callers together are one subject.
        """
        self.is_ending = False
        self._places = InFlight(limit)
        self._limit_per_caller = limit_per_caller
        self._of_caller: Counter[str] = Counter()
        self._open: set[LongStream] = set()
        self._reading = asyncio.Semaphore(_READING_AT_ONCE)

    @property
    def count(self) -> int:
        """The number of open streams."""
        return self._places.count

    @contextmanager
    def place(self, caller: str) -> Iterator[LongStream]:
        """Counts one more stream inside the block, and makes it the current one of this task.

        Args:
            caller: the subject of the caller.

        Raises:
            DomainError: OVERLOADED if a limit is reached; GOING_AWAY if the server drains.
        """
        if self.is_ending:
            raise _going_away()
        if self._of_caller[caller] >= self._limit_per_caller:
            raise error_for("OVERLOADED", f"one caller may keep {self._limit_per_caller} streams open")
        self._places.enter()
        self._of_caller[caller] += 1
        stream = LongStream(self._reading)
        self._open.add(stream)
        _current.set(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]
            self._places.leave()

    def end(self) -> None:
        """Ends all streams with GOING_AWAY."""
        self.is_ending = True
        for stream in self._open:
            stream.end()

    async def wait_until_idle(self) -> None:
        """Returns when no stream is open."""
        await self._places.wait_until_idle()


class LongStream:
    """One stream, as its handler sees it.

    Attributes:
        is_ending: whether the server drains.
    """

    __slots__ = ("_allowed", "_reading", "_waiting", "is_ending")

    def __init__(self, reading: asyncio.Semaphore) -> None:
        """Made by `LongStreams.place`."""
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
