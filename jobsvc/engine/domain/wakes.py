"""Wakes the claims that wait for tasks in this process, and those of other replicas through a port.

A wake-up gives no right to a task: who is woken tries to claim, and the rows decide. So a lost, doubled or late one
does no harm. Without any, a waiting claim looks by itself after a while.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Collection


class Announcer(Protocol):
    """Tells the other replicas that tasks wait."""

    async def announce(self, kinds: Collection[str]) -> None:
        """Tells them that tasks of these kinds may wait. It takes no time that matters, and never raises."""


class NobodyElse:
    """The announcer of an installation in which replicas find out by looking."""

    async def announce(self, kinds: Collection[str]) -> None:
        """See the port."""


class Wakes:
    """The claims that wait in this process."""

    def __init__(self) -> None:
        """Starts without any."""
        self._waiting: set[Waiting] = set()

    @property
    def has_waiting(self) -> bool:
        """Whether any claim waits here."""
        return bool(self._waiting)

    def wake(self, kinds: Collection[str]) -> None:
        """Wakes the claims that wait for one of these kinds. Call it also for what another replica announces."""
        for waiting in self._waiting:
            if not waiting.kinds.isdisjoint(kinds):
                waiting.event.set()

    def wake_all(self) -> None:
        """Wakes all waiting claims."""
        for waiting in self._waiting:
            waiting.event.set()

    def waiting(self, kinds: Collection[str]) -> Waiting:
        """A claim that waits for these kinds, inside a `with` block. Enter it before the first look at the rows."""
        return Waiting(self._waiting, frozenset(kinds))


class Waiting:
    """One claim that waits.

    Attributes:
        kinds: the kinds that its worker runs.
        event: is set when tasks may have come.
    """

    def __init__(self, among: set[Waiting], kinds: frozenset[str]) -> None:
        """Made by `Wakes.waiting`."""
        self.kinds = kinds
        self.event = asyncio.Event()
        self._among = among

    def __enter__(self) -> Self:
        self._among.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._among.discard(self)

    async def woken(self) -> None:
        """Waits until tasks may have come since the last call."""
        await self.event.wait()
        self.event.clear()
