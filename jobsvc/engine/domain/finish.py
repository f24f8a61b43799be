"""Ends runs: with a result, or given back unfinished."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from jobsvc.engine.domain.document import check_document, merged
from jobsvc.engine.domain.enqueue import task_rows
from jobsvc.engine.domain.kind import Kind
from jobsvc.engine.domain.status import TaskStatus
from jobsvc.engine.domain.transition import Transition, ended, queued

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.model import Execution, NewTask, Task, TaskRow
    from jobsvc.engine.domain.ports import EnginePorts

_MOST_TASKS_OF_A_WORKER = 1_000


class RunOutcome(Enum):
    """How a run ended."""

    SUCCESS = "success"
    ERROR = "error"
    FINAL_ERROR = "final error"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The end of a run.

    Attributes:
        task_id: the task.
        run: the run.
        outcome: how it ended.
        message: for people.
        extra_attributes: attributes of the task that are set or replaced.
        execution_extra_attributes: attributes of the execution that are set or replaced.
        new_tasks: tasks that the execution gets. Only a success adds some.
    """

    task_id: int
    run: int
    outcome: RunOutcome
    message: str = ""
    extra_attributes: Mapping[str, object] = field(default_factory=dict)
    execution_extra_attributes: Mapping[str, object] = field(default_factory=dict)
    new_tasks: Sequence[NewTask] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What a unit of work has ended: the tasks, how long they ran, and the kinds of new tasks."""

    tasks: Sequence[Task] = ()
    seconds: Sequence[float] = ()
    added_kinds: frozenset[str] = frozenset()


async def finish_tasks(ports: EnginePorts, worker_id: str, results: Sequence[RunResult]) -> list[bool]:
    """Ends runs of a worker, all in one unit of work.

    Args:
        ports: the ports of the engine.
        worker_id: the worker.
        results: how they ended; each task once.

    Returns:
        For each result, whether it counts. One that is not of the present run of its task, in this worker, changes
        nothing. A repeat changes nothing, and counts again.

    Raises:
        DomainError: BAD_REQUEST, an object is too large, or a new task has no known kind.
    """
    for result in results:
        check_document(result.extra_attributes, "results.extra_attributes")
        check_document(result.execution_extra_attributes, "results.execution_extra_attributes")

    async def work() -> tuple[list[bool], _Ended]:
        now = ports.clock()
        async with ports.store.write() as unit:
            held = {task.id: task for task in await unit.tasks.lock([result.task_id for result in results])}
            accepted = [_counts(held.get(result.task_id), worker_id, result.run) for result in results]
            running = [
                (held[result.task_id], result)
                for result, counts in zip(results, accepted, strict=True)
                if counts and held[result.task_id].status is TaskStatus.RUNNING
            ]
            if not running:
                return accepted, _Ended()
            locked = await unit.executions.lock({task.execution_id for task, _ in running})
            executions = {each.id: each for each in locked}
            transition = Transition(unit, now)
            new_tasks = [_finished(ports, task, result, now) for task, result in running]
            rows: list[TaskRow] = []
            for (task, result), new in zip(running, new_tasks, strict=True):
                transition.change(task, new)
                transition.set_attributes(task.execution_id, result.execution_extra_attributes)
                if new.status is TaskStatus.SUCCESS:
                    rows += _added(ports, executions[task.execution_id], task, result, now)
            transition.add(rows)
            await transition.write()
            await unit.commit()
        seconds = [_seconds(task, now) for task, _ in running]
        kinds = frozenset(row.kind for row in rows if row.status is TaskStatus.PENDING)
        return accepted, _Ended(tasks=new_tasks, seconds=seconds, added_kinds=kinds)

    accepted, end = await ports.store.repeat(work)
    for task, seconds in zip(end.tasks, end.seconds, strict=True):
        outcome = "retry" if task.status is TaskStatus.SCHEDULED else task.status.lower()
        ports.observer.finished(task.kind, outcome, seconds)
    await ports.announce(end.added_kinds)
    # A task of a kind whose places were all taken may run now.
    ports.wakes.wake({task.kind for task in end.tasks})
    return accepted


async def return_tasks(ports: EnginePorts, worker_id: str, runs: Sequence[tuple[int, int]]) -> None:
    """Gives runs back unfinished, each as (task id, run). Runs that are not this worker's any more are left alone."""

    async def work() -> list[Task]:
        now = ports.clock()
        async with ports.store.write() as unit:
            held = {task.id: task for task in await unit.tasks.lock([task_id for task_id, _ in runs])}
            given_back: list[Task] = []
            transition = Transition(unit, now)
            for task_id, run in runs:
                task = held.get(task_id)
                if task is not None and task.status is TaskStatus.RUNNING and _counts(task, worker_id, run):
                    given_back.append(_returned(task, now))
                    transition.change(task, given_back[-1])
            if given_back:
                await transition.write()
                await unit.commit()
        return given_back

    given_back = await ports.store.repeat(work)
    for task in given_back:
        ports.observer.finished(task.kind, "returned" if task.status is TaskStatus.PENDING else "stopped", 0)
    await ports.announce({task.kind for task in given_back if task.status is TaskStatus.PENDING})


async def unregister_worker(ports: EnginePorts, worker_id: str) -> None:
    """Takes a worker off the list, and gives back what it still has."""
    async with ports.store.read() as unit:
        running = await unit.tasks.running_of(worker_id, _MOST_TASKS_OF_A_WORKER)
    if running:
        await return_tasks(ports, worker_id, [(task.id, task.run) for task in running])

    async def work() -> None:
        async with ports.store.write() as unit:
            await unit.workers.remove(worker_id)
            await unit.commit()

    await ports.store.repeat(work)


def _counts(task: Task | None, worker_id: str, run: int) -> bool:
    return task is not None and task.run == run and task.worker_id == worker_id


def _finished(ports: EnginePorts, task: Task, result: RunResult, now: datetime) -> Task:
    task = replace(task, extra_attributes=merged(task.extra_attributes, result.extra_attributes))
    match result.outcome:
        case RunOutcome.SUCCESS:
            return ended(task, TaskStatus.SUCCESS, now, result.message)
        case RunOutcome.STOPPED:
            return ended(task, TaskStatus.STOPPED, now, result.message)
    failed = replace(task, failures=task.failures + 1)
    is_last = result.outcome is RunOutcome.FINAL_ERROR or failed.failures >= task.maximum_failures
    if is_last or task.stop_requested:
        return ended(failed, TaskStatus.ERROR, now, result.message)
    # Another version of the program may have made the task. Then its kind is not known here.
    kind = ports.kinds.get(task.kind) or Kind(name=task.kind)
    return replace(
        failed,
        status=TaskStatus.SCHEDULED,
        status_message=result.message,
        due_time=now + timedelta(seconds=kind.backoff.after(failed.failures)),
        lease_end_time=None,
    )


def _added(ports: EnginePorts, execution: Execution, task: Task, result: RunResult, now: datetime) -> list[TaskRow]:
    return task_rows(
        ports.kinds,
        execution.id,
        task.kind,
        execution.vendor_id,
        result.new_tasks,
        now,
        is_stopped=execution.stop_requested,
    )


def _returned(task: Task, now: datetime) -> Task:
    return ended(task, TaskStatus.STOPPED, now) if task.stop_requested else queued(task, now)


def _seconds(task: Task, now: datetime) -> float:
    return 0.0 if task.start_time is None else max((now - task.start_time).total_seconds(), 0.0)
