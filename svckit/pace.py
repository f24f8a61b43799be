"""How long a client may take for a body or a stream, in either direction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """What a client must keep to.

    Attributes:
        idle_seconds: how long it may stand still.
        least_bytes_per_second: the rate that it must reach. A slower one uses up `idle_seconds`. With 0 there is no
            rate, and whatever it sends or reads earns all of `idle_seconds`.
        longest_seconds: the longest time for the whole; None for no limit.
    """

    idle_seconds: float
    least_bytes_per_second: int
    longest_seconds: float | None = None


class Patience:
    """How long one client is still waited for.

    It starts with `idle_seconds`. Waiting uses it up, and each byte earns a part of a second, up to `idle_seconds`
    again. So a client may stand still for a while, but a byte now and then does not keep a body open. The time in which
    this process is busy does not count.
    """

    __slots__ = ("_ends_at", "_left", "_pace")

    def __init__(self, pace: Pace) -> None:
        """Starts now."""
        self._pace = pace
        self._left = pace.idle_seconds
        longest = pace.longest_seconds
        self._ends_at = None if longest is None else asyncio.get_running_loop().time() + longest

    @property
    def is_over(self) -> bool:
        """Whether the longest time has passed. A client that is never waited for is not told so by `wait_for`."""
        return self._ends_at is not None and asyncio.get_running_loop().time() >= self._ends_at

    async def wait_for(self, action: Awaitable[T]) -> T:
        """Waits for something that depends on the client: for a piece that it sends, or reads.

        What is done at once uses up nothing, and needs no timer. That is nearly everything: the piece has arrived
        already, or fits into a buffer.

        Raises:
            TimeoutError: the client has used up its time.
        """
        steps = action.__await__()
        try:
            first = next(steps)
        except StopIteration as end:
            return cast("T", end.value)
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + self._left
        if self._ends_at is not None:
            until = min(until, self._ends_at)
        try:
            async with asyncio.timeout_at(until):
                return cast("T", await _Rest(first, steps))
        finally:
            self._left -= loop.time() - began

    def earn(self, size_bytes: int) -> None:
        """Counts bytes that the client has sent or read."""
        pace = self._pace
        rate = pace.least_bytes_per_second
        self._left = min(pace.idle_seconds, self._left + size_bytes / rate) if rate else pace.idle_seconds


class _Rest:
    """What is left of something that was begun outside of a time-out. It is awaited once, within one."""

    __slots__ = ("_first", "_steps")

    def __init__(self, first: Any, steps: Iterator[Any]) -> None:
        """Takes what the first step waits for, and the other steps."""
        self._first = first
        self._steps = steps

    def __await__(self) -> Generator[Any, None, Any]:
        # As `yield from` does it (PEP 380), but for the first step, which was taken already.
        waited_for = self._first
        while True:
            step: Callable[[], Any] = self._steps.__next__
            try:
                yield waited_for
            except BaseException as error:
                throw = getattr(self._steps, "throw", None)
                if throw is None:  # made by a server in another language
                    raise
                step = partial(throw, error)
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
