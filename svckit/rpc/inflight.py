"""How many calls are being served, and how many at most."""

from __future__ import annotations

import asyncio

from svckit.errors import error_for


class InFlight:
    """Counts calls, and refuses one too many.

    Without a cap a burst would queue inside, for the database or for memory, and every caller would time out; so the
    one too many is told at once to come again.

    Attributes:
        limit: calls at most.
        count: calls now.
    """

    __slots__ = ("_idle", "count", "limit")

    def __init__(self, limit: int) -> None:
        """Starts at none."""
        self.limit = limit
        self.count = 0
        self._idle: asyncio.Event | None = None

    def enter(self) -> None:
        """Counts one more.

        Raises:
            DomainError: OVERLOADED, with the time after which to try again; nothing has been counted then.
        """
        if self.count >= self.limit:
            raise error_for("OVERLOADED")
        self.count += 1

    def leave(self) -> None:
        """Counts one less."""
        self.count -= 1
        if self.count == 0 and self._idle is not None:
            self._idle.set()

    async def wait_until_idle(self) -> None:
        """Returns once no call is being served."""
        while self.count:
            if self._idle is None:
                self._idle = asyncio.Event()
            self._idle.clear()
            await self._idle.wait()
