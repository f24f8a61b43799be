"""Background work that a service repeats while it serves."""

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

# The time for the last round of work. A database that does not answer must not delay the end of the process.
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
    """Runs work until the service ends. A failure is logged and counted; the next round tries again."""

    def __init__(self, metrics: Metrics) -> None:
        """Starts without work."""
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
        """Adds work, which `running` starts.

        Args:
            seconds: the pause after each round. For work that never ends by itself, it is the pause after a failure.
            name: the name in logs and metrics, such as "expire_uploads".
            work: does one round.
            waits_first: whether the first round comes after the first pause.
            has_last_round: whether one more round is run at the end, so that collected data is not lost.
        """
        self._loops.append(_Loop(name, seconds, work, waits_first, has_last_round))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs all work inside the block. At its end, the work is cancelled and waited for."""
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
            # In most cases a database or a service does not answer. The error says so; a traceback would add nothing.
            self._count_failure(loop.name)
            _log.warning("background_work_failed", work=loop.name, error=str(error))
        except Exception:
            # A bug in one round must not stop the later rounds.
            self._count_failure(loop.name)
            _log.exception("background_work_failed", work=loop.name)
