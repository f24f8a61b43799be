"""The first answer of authsvc to a process that asks it again and again, such as for the runtime configuration."""

from __future__ import annotations

import asyncio

from svckit.errors import error_for

AWAITED_SECONDS = 1.0
"""How long a check waits for the answer. Services start together, so it is about to come. This is shorter than a look
at what a service needs (`Needs`)."""

_LONGEST_SECONDS = 5.0
# Before the first answer there is nothing else to do than to wait for authsvc, which starts at the same time.
_FIRST_SECONDS = 60.0


class FirstAnswer:
    """Whether authsvc has answered since this process began."""

    def __init__(self, what: str) -> None:
        """It has not. `what` names what it is asked for, such as "the configuration"."""
        self._what = what
        self._came = asyncio.Event()

    @property
    def has_come(self) -> bool:
        """Whether authsvc has answered."""
        return self._came.is_set()

    @property
    def timeout_seconds(self) -> float:
        """How long a question may take: longer before the first answer."""
        return _LONGEST_SECONDS if self.has_come else _FIRST_SECONDS

    def note(self) -> None:
        """Authsvc has answered."""
        self._came.set()

    async def require(self) -> None:
        """Waits a moment for the answer: the check of a service that must not serve before (`Needs`).

        Raises:
            DomainError: UNAVAILABLE; it has not come.
        """
        try:
            async with asyncio.timeout(AWAITED_SECONDS):
                await self._came.wait()
        except TimeoutError:
            raise error_for("UNAVAILABLE", f"authsvc has not told {self._what} yet") from None
