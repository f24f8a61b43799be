"""What workers say of their running tasks, and what they are told."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from jobsvc.engine.domain.status import TaskStatus
from jobsvc.engine.domain.worker import BEAT_SECONDS, known_worker

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.model import Report, Task
    from jobsvc.engine.domain.ports import EnginePorts


class Verdict(Enum):
    """What a worker does with a run after its report."""

    GO_ON = "go on"
    STOP = "stop"
    LOST = "lost"


async def report_tasks(ports: EnginePorts, worker_id: str, reports: Sequence[Report]) -> list[Verdict]:
    """Takes the reports of a worker, prolongs the leases of its runs, and says what to do with each run.

    Rows are written only if something is new or a lease has lost a third of its time, because every worker reports
    every second.

    Raises:
        DomainError: NOT_FOUND, the worker is unknown.
    """
    now = ports.clock()
    async with ports.store.read() as unit:
        worker = await known_worker(unit, worker_id)
        held = {task.id: task for task in await unit.tasks.states([report.task_id for report in reports])}
    mine = [report for report in reports if _is_mine(held.get(report.task_id), worker_id, report.run)]
    leases = {report.task_id: ports.rules.lease_of(ports.kinds.get(held[report.task_id].kind)) for report in mine}
    kept = {(report.task_id, report.run) for report in mine}
    needs_beat = now - worker.heartbeat_time >= timedelta(seconds=BEAT_SECONDS)
    due = [report for report in mine if _is_due(held[report.task_id], report, leases[report.task_id], now)]
    if due or needs_beat:
        written = await ports.store.repeat(lambda: _write(ports, worker_id, due, leases, now))
        # Between the two units, somebody may have taken a task away.
        kept -= {(report.task_id, report.run) for report in due if report.task_id not in written}
    stopped = {task.id for task in held.values() if task.stop_requested}
    return [_verdict(report, kept, stopped) for report in reports]


async def _write(
    ports: EnginePorts, worker_id: str, due: Sequence[Report], leases: Mapping[int, timedelta], now: datetime
) -> set[int]:
    async with ports.store.write() as unit:
        await unit.workers.beat(worker_id, now)
        ends = {report.task_id: now + leases[report.task_id] for report in due}
        written = await unit.tasks.write_reports(worker_id, due, now, ends) if due else set()
        await unit.commit()
    return written


def _is_mine(task: Task | None, worker_id: str, run: int) -> bool:
    return task is not None and task.status is TaskStatus.RUNNING and task.worker_id == worker_id and task.run == run


def _is_due(task: Task, report: Report, lease: timedelta, now: datetime) -> bool:
    is_new = report.progress not in (None, task.progress) or report.check_in not in (None, task.check_in)
    return is_new or task.lease_end_time is None or task.lease_end_time - now < lease * 2 / 3


def _verdict(report: Report, kept: Collection[tuple[int, int]], stopped: Collection[int]) -> Verdict:
    if (report.task_id, report.run) not in kept:
        return Verdict.LOST
    return Verdict.STOP if report.task_id in stopped else Verdict.GO_ON
