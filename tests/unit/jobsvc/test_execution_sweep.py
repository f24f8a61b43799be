"""The handler of the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from jobsvc.engine.worker.task import TaskStopped
from jobsvc.execution_sweep.domain import KIND, Swept
from jobsvc.execution_sweep.handler import ExecutionSweepHandler
from jobsvc.kinds import KINDS
from svckit.actor import Actor


class Batches:
    """Deletes what the test says, batch by batch."""

    def __init__(self, batches: Sequence[Swept]) -> None:
        self.left = list(batches)

    async def sweep(self) -> Swept:
        return self.left.pop(0) if self.left else Swept()


@dataclass
class Task:
    """A task that remembers what its handler says."""

    stops_at: int = 100
    said: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    id = run = execution_id = 1
    vendor_id = failures = 0
    kind = KIND.name
    parameters = MappingProxyType[str, object]({})
    operator = Actor("service", name="jobsvc")

    @property
    def log(self) -> Task:
        return self

    def debug(self, message: str) -> None:
        self.lines.append(message)

    info = warning = error = debug

    async def progress(self, done: int, total: int = 0, text: str = "") -> None:
        self.said.append(done)
        await self.checkpoint()

    def check_in(self, text: str) -> None:
        raise NotImplementedError

    async def checkpoint(self) -> None:
        if len(self.said) > self.stops_at:
            raise TaskStopped


async def test_it_sweeps_until_nothing_is_left() -> None:
    task = Task()
    batches = Batches([Swept(executions=100, tasks=300), Swept(executions=7, tasks=7, log_pieces=4), Swept(workers=2)])

    outcome = await ExecutionSweepHandler(batches)(task)

    assert outcome.execution_extra_attributes == {"deleted_executions": 107, "deleted_tasks": 307}
    assert task.said == [0, 100, 107, 107]
    assert task.lines == [
        "107 executions with 307 tasks are deleted.",
        "4 pieces of old logs and 2 workers that are gone are deleted.",
    ]


async def test_it_stops_between_two_batches() -> None:
    batches = Batches([Swept(executions=1)] * 5)

    with pytest.raises(TaskStopped):
        await ExecutionSweepHandler(batches)(Task(stops_at=2))

    assert len(batches.left) == 3


def test_it_is_harbors_kind() -> None:
    kind = KINDS.named("execution_sweep", "kind")

    assert (kind.default_schedule, kind.vendor_id, kind.kept_executions, kind.concurrency) == (
        "0 0 0 * * *",
        -1,
        10,
        1,
    )
