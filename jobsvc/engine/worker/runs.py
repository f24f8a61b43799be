"""The runs that a worker has, and its free places."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from jobsvc.engine.worker.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobsvc.engine.worker.claimed import Claimed
    from jobsvc.engine.worker.task import Handler
    from svckit.metrics import Metrics


class Runs:
    """The runs, from their start until jobsvc knows how they have ended. Each takes a place for so long.

    So the memory of results that cannot be sent is bounded.
    """

    def __init__(self, handlers: Mapping[str, Handler], places: int, metrics: Metrics) -> None:
        """Starts without runs."""
        self._handlers = handlers
        self._places = places
        self._runs: dict[tuple[int, int], Run] = {}
        self._ended = asyncio.Event()
        self._forgotten = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()
        self._count = Counter(
            "worker_runs",
            "Runs of tasks that have ended in this process",
            ("service", "kind", "ending"),
            registry=metrics.registry,
        )
        self._service = metrics.service
        running = Gauge("worker_tasks_held", "Tasks that run in this process", ("service",), registry=metrics.registry)
        running.labels(metrics.service).set_function(lambda: len(self._runs))
        Gauge(
            "worker_places_held", "How many tasks may run in this process", ("service",), registry=metrics.registry
        ).labels(metrics.service).set(places)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    def start(self, claimed: Claimed, lease_begin: float) -> None:
        """Starts a task. One that runs already goes on."""
        key = (claimed.task_id, claimed.run)
        if key not in self._runs:
            self._runs[key] = Run(claimed, self._handlers[claimed.kind], lease_begin, lambda _: self._ended.set())

    def forget(self, runs: Iterable[Run]) -> None:
        """Frees the places of runs."""
        for run in list(runs):
            run.close()
            if self._runs.pop((run.id, run.run), None) is not None and run.ending is not None:
                self._count.labels(self._service, run.kind, run.ending.name.lower()).inc()
        waking = asyncio.ensure_future(self._wake())
        self._waking.add(waking)
        waking.add_done_callback(self._waking.discard)

    async def wait_for_places(self) -> int:
        """Waits for free places, and returns how many there are."""
        async with self._forgotten:
            await self._forgotten.wait_for(lambda: len(self._runs) < self._places)
        return self._places - len(self._runs)

    async def wait_for_none(self) -> None:
        """Waits until no runs are left."""
        async with self._forgotten:
            await self._forgotten.wait_for(lambda: not self._runs)

    async def wait_for_ended(self) -> list[Run]:
        """Waits for runs that have ended, and returns all of them."""
        while not (ended := [run for run in self if run.ending is not None]):
            self._ended.clear()
            await self._ended.wait()
        return ended

    async def _wake(self) -> None:
        async with self._forgotten:
            self._forgotten.notify_all()
