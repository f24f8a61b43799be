"""A job service in memory: the tasks that one worker claims, and what it says of them."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, cast

from jobsvc.engine.domain.model import LogPiece, Report
from jobsvc.engine.domain.report import Verdict
from jobsvc.engine.worker.claimed import Claimed
from jobsvc.engine.worker.protocol import WorkClient
from jobsvc.engine.worker.run import Run
from jobsvc.engine.worker.task import Handler
from jobsvc.engine.worker.worker import Worker
from roadstead.job.v1 import work_pb2
from svckit.actor import Actor
from svckit.errors import Invalid, NotFound, Unavailable
from svckit.metrics import Metrics
from svckit.rpc.lifetime import StopSignals
from tests.harness.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LEASE_SECONDS = 30.0


class Jobs:
    """What a worker calls.

    Attributes:
        waiting: tasks that wait for a worker.
        is_away: whether all calls fail.
        knows_worker: whether it was registered, and not forgotten since.
        verdicts: what reports of a task are answered; by default to go on.
        reports: all that came.
        results: what was taken, in order.
        refuse: says which results are refused.
        returned: the runs that were given back.
        log: the text of all logs, by task.
        is_unregistered: whether the worker has said goodbye.
        claim_keys: of all claims.
        registered: how often it was registered.
    """

    def __init__(self, *tasks: Claimed) -> None:
        self.waiting = list(tasks)
        self.is_away = False
        self.knows_worker = False
        self.verdicts: dict[int, Verdict] = {}
        self.reports: list[Report] = []
        self.results: list[work_pb2.TaskResult] = []
        self.refuse: Callable[[work_pb2.TaskResult], bool] = lambda _: False
        self.returned: list[int] = []
        self.log: dict[int, bytes] = {}
        self.is_unregistered = False
        self.claim_keys: list[str] = []
        self.registered = 0

    async def register(
        self, *, host: str, pid: int, concurrency: int, kinds: Collection[str], start: datetime
    ) -> float:
        self._check(needs_worker=False)
        self.knows_worker = True
        self.registered += 1
        return 0.05

    async def claim(self, *, places: int, claim_key: str) -> Sequence[Claimed]:
        self.claim_keys.append(claim_key)
        while not self.waiting:
            self._check()
            await asyncio.sleep(0.005)
        self._check()
        taken, self.waiting = self.waiting[:places], self.waiting[places:]
        return taken

    async def report(self, reports: Sequence[Report], *, timeout_seconds: float) -> Sequence[Verdict]:
        self._check()
        self.reports += reports
        return [self.verdicts.get(report.task_id, Verdict.GO_ON) for report in reports]

    async def append_logs(self, pieces: Sequence[LogPiece]) -> None:
        self._check()
        for piece in pieces:
            self.log[piece.task_id] = self.log.get(piece.task_id, b"") + piece.text

    async def finish(self, results: Sequence[work_pb2.TaskResult]) -> None:
        self._check()
        if any(map(self.refuse, results)):
            raise Invalid.of_field("results", "are refused")
        self.results += results

    async def give_back(self, runs: Sequence[Run]) -> None:
        self._check()
        self.returned += [run.id for run in runs]

    async def unregister(self) -> None:
        self._check()
        self.is_unregistered = True

    async def result(self, task_id: int = 1) -> work_pb2.TaskResult:
        """Waits for the result of a task."""

        def look() -> work_pb2.TaskResult | None:
            return next((result for result in self.results if result.task_id == task_id), None)

        found = await wait_until_async(look, f"the result of task {task_id}")
        assert found is not None
        return found

    def _check(self, *, needs_worker: bool = True) -> None:
        if self.is_away:
            raise Unavailable
        if needs_worker and not self.knows_worker:
            raise NotFound


def claimed(task_id: int = 1, *, lease_seconds: float = LEASE_SECONDS) -> Claimed:
    """A task of the kind WORK."""
    return Claimed(
        task_id=task_id,
        run=1,
        execution_id=7,
        kind="WORK",
        vendor_id=0,
        parameters={"number": task_id},
        failures=0,
        operator=Actor("user", 3, "alice"),
        lease_seconds=lease_seconds,
    )


@asynccontextmanager
async def working(
    jobs: Jobs, handle: Handler, *, concurrency: int = 4, drain_seconds: float = 0.0, metrics: Metrics | None = None
) -> "AsyncIterator[StopSignals]":
    """A worker that works inside the block. It has ended after it."""
    worker = Worker(
        cast("WorkClient", jobs),
        {"WORK": handle},
        concurrency=concurrency,
        drain_seconds=drain_seconds,
        metrics=metrics or Metrics("worker"),
    )
    signals = StopSignals()
    running = asyncio.ensure_future(worker.run(signals))
    try:
        yield signals
    finally:
        await signals.note()
        async with asyncio.timeout(20):
            await running
