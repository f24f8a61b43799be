"""The deadlines of many reads, with one timer."""

from __future__ import annotations

import asyncio
from typing import Any

# uvloop rounds to milliseconds. A timer for less would go off at once, again and again until the time has come.
_SHORTEST_SECONDS = 0.001


class Deadlines:
    """Ends the waiting of reads whose deadline has passed.

    A timer for each read would cost as much as the rest of its waiting, and nearly none would ever go off. All reads
    have about the same time, so this timer is set for the first of them, and again when it has gone off.
    """

    def __init__(self) -> None:
        """Watches nothing yet."""
        self._watched: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, answer: asyncio.Future[Any], deadline: float) -> None:
        """Sets a TimeoutError when the time of the event loop is that late, unless the answer has come."""
        self._watched[answer] = deadline
        if self._timer is None or deadline < self._timer.when():
            self._set_for(deadline)

    def forget(self, answer: asyncio.Future[Any]) -> None:
        """Nobody waits for this answer any more. Call this for every answer that was watched."""
        del self._watched[answer]

    def _set_for(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        left: list[float] = []
        for answer, deadline in self._watched.items():
            if deadline > now:
                left.append(deadline)
            elif not answer.done():
                answer.set_exception(TimeoutError("a read has no answer by its deadline"))
        if left:
            self._set_for(max(min(left), now + _SHORTEST_SECONDS))
