"""Slows down clients that guess passwords, without locking out the owner of the account.

Failures are counted in three ways:

- by name and address, and by address: the next attempt waits before it is checked, longer after each failure. Clients
  at an address without failures do not wait, so the owner of the account can log in at once;
- by name alone: only the refusal is delayed. A correct password is not slowed down.

The number of waiting attempts is limited for each address and in total. An attempt beyond a limit is refused without a
check. Without these limits, one address could fill the hashing pool and the limit on calls in flight.
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
"""A count starts again from zero after this time without a new failure."""
WAITING_PER_ADDRESS = 4
WAITING_IN_ALL = 32

# Failures that cause no delay: a typing error, many people behind one address, a name that many people mistype.
_FREE_FOR_PAIR = 1
_FREE_FOR_ADDRESS = 10
_FREE_FOR_NAME = 5


@dataclass(slots=True)
class _Count:
    failures: int
    last_time: float


class Attempts:
    """Counts the failures of this process. Each replica counts its own, so two replicas allow twice the attempts."""

    def __init__(
        self,
        base_seconds: float,
        longest_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Starts with no failures.

        Args:
            base_seconds: the first delay; each failure doubles it.
            longest_seconds: the longest delay.
            clock: seconds, monotonic.
            sleep: waits for so many seconds.
        """
        self._base_seconds = base_seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._sleep = sleep
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def admit(self, name: str, address: str) -> AsyncIterator[None]:
        """Waits until this address may try this name. The attempt is checked inside the block.

        Raises:
            DomainError: TOOMANYREQUESTS; too many attempts wait already.
        """
        delay = max(
            self._delay(("pair", name, address), _FREE_FOR_PAIR), self._delay(("address", address), _FREE_FOR_ADDRESS)
        )
        if delay <= 0:
            yield
            return
        # The slot is kept during the check. Otherwise attempts that waited in parallel would all be hashed at once.
        with self._slot(address, delay):
            await self._sleep(delay)
            yield

    async def failed(self, name: str, address: str) -> None:
        """Counts a failure, and returns when the refusal may be sent."""
        for key in (("pair", name, address), ("address", address), ("name", name)):
            self._count(key)
        delay = self._delay(("name", name), _FREE_FOR_NAME)
        if delay > 0 and not self._is_full(address):
            with self._slot(address, delay):
                await self._sleep(delay)

    def succeeded(self, name: str, address: str) -> None:
        """Forgets the failures of this name from this address.

        The failures of the address stay, because somebody who guesses passwords may own an account as well.
        """
        self._counts.pop(("pair", name, address), None)

    def _is_full(self, address: str) -> bool:
        return self._waiting[address] >= WAITING_PER_ADDRESS or self._waiting.total() >= WAITING_IN_ALL

    def _slot(self, address: str, delay: float) -> _WaitingSlot:
        if self._is_full(address):
            raise DomainError(
                "TOOMANYREQUESTS", "too many failed log-ins; try again later", retry_after_seconds=max(delay, 1.0)
            )
        return _WaitingSlot(self._waiting, address)

    def _delay(self, key: Hashable, free: int) -> float:
        count = self._counts.get(key)
        if count is None or self._clock() - count.last_time > FORGIVEN_AFTER_SECONDS:
            return 0.0
        beyond = count.failures - free
        # The exponent is limited first, because 2.0**1024 raises OverflowError.
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


class _WaitingSlot:
    """Counts one waiting attempt of an address."""

    def __init__(self, waiting: Counter[str], address: str) -> None:
        self._waiting = waiting
        self._address = address

    def __enter__(self) -> None:
        self._waiting[self._address] += 1

    def __exit__(self, *_exception: object) -> None:
        self._waiting[self._address] -= 1
        if self._waiting[self._address] <= 0:
            del self._waiting[self._address]
