"""Slows down whoever guesses passwords, without locking out whom they are guessed for.

Three counts of failures are kept, and each slows something else:

- of a name from one address, and of an address: whoever fails waits before the next try *is looked at*, a little longer
  each time. From an address without failures nobody waits, so the owner of the name comes in at once;
- of a name from anywhere: the *refusal* comes later, which costs only those who are refused.

Waiting is bounded, too: an address may have a few tries waiting, all of them together some dozens, and what comes on
top is turned away unlooked at. So guessing from one address costs neither the hashing pool nor the calls in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svckit.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

MAXIMUM_REMEMBERED = 16384
FORGIVEN_AFTER_SECONDS = 900.0
"""A count without a new failure for so long begins anew."""
WAITING_PER_ADDRESS = 4
WAITING_IN_ALL = 32

# Failures that cost nothing: a typing error, a whole office behind one address, a name that many misremember.
_FREE_FOR_PAIR = 1
_FREE_FOR_ADDRESS = 10
_FREE_FOR_NAME = 5


@dataclass(slots=True)
class _Count:
    failures: int
    last_time: float


class Attempts:
    """The failures of a process. Each replica counts its own: two of them let a guesser try twice as often, no more."""

    def __init__(
        self,
        base_seconds: float,
        longest_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Begins with no failures.

        Args:
            base_seconds: the first delay; each failure doubles it.
            longest_seconds: no delay is longer.
            clock: seconds, monotonic.
            sleep: waits.
        """
        self._base_seconds = base_seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._sleep = sleep
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def admit(self, name: str, address: str) -> AsyncIterator[None]:
        """Waits as long as this address must before a try for this name is looked at, which is done inside.

        Raises:
            DomainError: TOOMANYREQUESTS; too many tries wait already.
        """
        delay = max(
            self._delay(("pair", name, address), _FREE_FOR_PAIR), self._delay(("address", address), _FREE_FOR_ADDRESS)
        )
        if delay <= 0:
            yield
            return
        # The place is kept while the try is looked at, or a thousand that waited side by side would all be hashed.
        with self._place(address, delay):
            await self._sleep(delay)
            yield

    async def failed(self, name: str, address: str) -> None:
        """Counts a failure, and returns when its refusal may be said."""
        for key in (("pair", name, address), ("address", address), ("name", name)):
            self._count(key)
        delay = self._delay(("name", name), _FREE_FOR_NAME)
        if delay > 0 and not self._is_full(address):
            with self._place(address, delay):
                await self._sleep(delay)

    def succeeded(self, name: str, address: str) -> None:
        """Forgets the failures of this name from this address.

        Those of the address stay: a guesser may have an account of his own.
        """
        self._counts.pop(("pair", name, address), None)

    def _is_full(self, address: str) -> bool:
        return self._waiting[address] >= WAITING_PER_ADDRESS or self._waiting.total() >= WAITING_IN_ALL

    def _place(self, address: str, delay: float) -> _Place:
        if self._is_full(address):
            raise DomainError(
                "TOOMANYREQUESTS", "too many failed log-ins; try again later", retry_after_seconds=max(delay, 1.0)
            )
        return _Place(self._waiting, address)

    def _delay(self, key: Hashable, free: int) -> float:
        count = self._counts.get(key)
        if count is None or self._clock() - count.last_time > FORGIVEN_AFTER_SECONDS:
            return 0.0
        beyond = count.failures - free
        # The exponent is bounded before it is used: 2.0**1024 is an error.
        return min(self._base_seconds * 2.0 ** min(beyond, 30), self._longest_seconds) if beyond >= 0 else 0.0

    def _count(self, key: Hashable) -> None:
        now = self._clock()
        count = self._counts.pop(key, None)
        if count is None or now - count.last_time > FORGIVEN_AFTER_SECONDS:
            count = _Count(0, now)
        count.failures += 1
        count.last_time = now
        self._counts[key] = count
        while len(self._counts) > MAXIMUM_REMEMBERED:
            self._counts.popitem(last=False)


class _Place:
    """One place among those who wait."""

    def __init__(self, waiting: Counter[str], address: str) -> None:
        self._waiting = waiting
        self._address = address

    def __enter__(self) -> None:
        self._waiting[self._address] += 1

    def __exit__(self, *_exception: object) -> None:
        self._waiting[self._address] -= 1
        if self._waiting[self._address] <= 0:
            del self._waiting[self._address]
