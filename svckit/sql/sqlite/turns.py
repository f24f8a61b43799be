"""Who writes next: one unit at a time, in the order of asking. Units that are short share a transaction."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from svckit.sql.errors import overloaded


class Shared(Protocol):
    """A transaction that several units share, one after the other."""

    @property
    def is_full(self) -> bool:
        """Whether no more units may join."""

    async def end(self) -> None:
        """Commits. It never raises: the units hear what has failed."""


@dataclass(slots=True)
class _Waiter:
    granted: asyncio.Future[None]
    shares: bool


class Turns:
    """Gives the turn to one unit after the other.

    Without it, SQLite would poll the file, which is unfair, and each waiting unit would occupy a thread.

    Attributes:
        shared: the open shared transaction; None if there is none. Who has the turn sets it. It is ended when nobody
            waits who would join it, before somebody else has the turn.
    """

    def __init__(self, wait_seconds: float) -> None:
        """Takes how long a unit waits for its turn."""
        self.shared: Shared | None = None
        self._wait_seconds = wait_seconds
        self._waiting: deque[_Waiter] = deque()
        self._taken = False
        self._ending: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """A turn while no shared transaction is open.

        Raises:
            DomainError: OVERLOADED, it was not granted in time.
        """
        await self.take(shares=False)
        try:
            yield
        finally:
            self.pass_on()

    async def take(self, *, shares: bool) -> None:
        """Waits for the turn. Afterwards `pass_on` must be called.

        Args:
            shares: whether it may be given while a shared transaction is open.

        Raises:
            DomainError: OVERLOADED, it was not granted in time.
        """
        if not self._taken:
            self._taken = True
            return
        waiter = _Waiter(asyncio.get_running_loop().create_future(), shares)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiter.granted
        except BaseException as error:
            if waiter.granted.done() and not waiter.granted.cancelled():
                # It was granted at the same moment.
                self.pass_on()
            if isinstance(error, TimeoutError):
                raise overloaded() from error
            raise

    def pass_on(self) -> None:
        """Ends a turn. The next one begins once the loop comes round, or after the end of the shared transaction."""
        if self.shared is None:
            self._grant()
        else:
            # Not at once: who is called in this round of the loop may still ask for a turn, and join.
            asyncio.get_running_loop().call_soon(self._join_or_end, self.shared)

    async def settle(self) -> None:
        """Waits until no shared transaction is being ended."""
        if self._ending is not None:
            await asyncio.wait({self._ending})

    def _join_or_end(self, shared: Shared) -> None:
        following = self._first()
        if following is not None and following.shares and not shared.is_full:
            self._grant()
        else:
            self._ending = asyncio.get_running_loop().create_task(self._end(shared))

    async def _end(self, shared: Shared) -> None:
        try:
            await shared.end()
        finally:
            self.shared = None
            self._grant()

    def _grant(self) -> None:
        following = self._first()
        if following is None:
            self._taken = False
        else:
            self._waiting.popleft().granted.set_result(None)

    def _first(self) -> _Waiter | None:
        # Those who have given up are dropped here.
        while self._waiting and self._waiting[0].granted.done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None
