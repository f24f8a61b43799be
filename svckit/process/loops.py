"""Work that a service does in the background, again and again, for as long as it serves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter

from svckit.errors import DomainError
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from svckit.metrics import Metrics

# The last round of work that wants one. A database that is away must not hold up the end of the process.
_LAST_ROUND_SECONDS = 5.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Loop:
    name: str
    seconds: float
    work: Callable[[], Awaitable[object]]
    waits_first: bool
    has_last_round: bool


class Loops:
    """Runs work until the service ends. A failure is logged and counted, and the next round tries again."""

    def __init__(self, metrics: Metrics) -> None:
        """Has nothing to do yet."""
        self._loops: list[_Loop] = []
        failures = Counter(
            "background_failures",
            "Rounds of background work that have failed",
            ("service", "work"),
            registry=metrics.registry,
        )
        self._count_failure: Callable[[str], None] = lambda name: failures.labels(metrics.service, name).inc()

    def every(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        waits_first: bool = False,
        has_last_round: bool = False,
    ) -> None:
        """Adds work, to be started by `running`.

        Args:
            seconds: the pause after each round. For work that has no end of its own: the pause before it is started
                again after a failure.
            name: in logs and metrics, such as "expire_uploads".
            work: does one round.
            waits_first: whether the first round comes only after the first pause.
            has_last_round: whether one more round is done at the end, so that what was gathered is not lost.
        """
        self._loops.append(_Loop(name, seconds, work, waits_first, has_last_round))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does all of it while inside; at the end it is cancelled, and waited for."""
        tasks = [asyncio.create_task(self._run(loop), name=loop.name) for loop in self._loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(self._end(loop) for loop in self._loops if loop.has_last_round))

    async def _run(self, loop: _Loop) -> None:
        if loop.waits_first:
            await asyncio.sleep(loop.seconds)
        while True:
            await self._round(loop)
            await asyncio.sleep(loop.seconds)

    async def _end(self, loop: _Loop) -> None:
        try:
            async with asyncio.timeout(_LAST_ROUND_SECONDS):
                await self._round(loop)
        except TimeoutError:
            _log.warning("last_round_abandoned", work=loop.name)

    async def _round(self, loop: _Loop) -> None:
        try:
            await loop.work()
        except DomainError as error:
            # Mostly a database or a service that is away, which says so itself: a traceback would add nothing.
            self._count_failure(loop.name)
            _log.warning("background_work_failed", work=loop.name, error=str(error))
        except Exception:
            # A fault in one round must not keep all later ones from running.
            self._count_failure(loop.name)
            _log.exception("background_work_failed", work=loop.name)
