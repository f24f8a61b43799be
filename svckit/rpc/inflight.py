"""The number of calls that are being served, and its limit."""

from __future__ import annotations

import asyncio

from svckit.errors import error_for


class InFlight:
    """Counts calls, and refuses calls above the limit.

    Without a limit, the calls of a burst would wait inside for the database or for memory, and all of them would time
    out. So a call above the limit is refused at once, and its caller may repeat it.

    Attributes:
        limit: the most calls.
        count: the calls at the moment.
    """

    __slots__ = ("_idle", "count", "limit")

    def __init__(self, limit: int) -> None:
        """Starts at zero."""
        self.limit = limit
        self.count = 0
        self._idle: asyncio.Event | None = None

    def enter(self) -> None:
        """Counts one more call.

        Raises:
            DomainError: OVERLOADED, with the time after which to try again. Then the call is not counted.
        """
        if self.count >= self.limit:
            raise error_for("OVERLOADED")
        self.count += 1

    def leave(self) -> None:
        """Counts one call less."""
        self.count -= 1
        if self.count == 0 and self._idle is not None:
            self._idle.set()

    async def wait_until_idle(self) -> None:
        """Returns when no call is being served."""
        while self.count:
            if self._idle is None:
                self._idle = asyncio.Event()
            self._idle.clear()
            await self._idle.wait()
