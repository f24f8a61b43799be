"""How long a client may take for a body or a stream, in either direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


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

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Waits for the client inside the block.

        Raises:
            TimeoutError: the client has used up its time.
        """
        began = asyncio.get_running_loop().time()
        until = began + self._left
        if self._ends_at is not None:
            until = min(until, self._ends_at)
        try:
            async with asyncio.timeout_at(until):
                yield
        finally:
            self._left -= asyncio.get_running_loop().time() - began

    def earn(self, size_bytes: int) -> None:
        """Counts bytes that the client has sent or read."""
        pace = self._pace
        rate = pace.least_bytes_per_second
        self._left = min(pace.idle_seconds, self._left + size_bytes / rate) if rate else pace.idle_seconds
