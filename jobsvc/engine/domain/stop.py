"""Stops tasks, executions, and everything that waits in a queue.

A task that waits is Stopped at once. A task that runs is asked to stop: its worker hears it with its next report, and
its handler ends at its next check point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobsvc.engine.domain.status import ExecutionStatus, TaskStatus
from jobsvc.engine.domain.transition import Transition, ended, settled
from svckit.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.model import Execution, Task
    from jobsvc.engine.domain.ports import EnginePorts
    from jobsvc.engine.domain.rows import UnitOfWork

# Large executions are stopped in parts, so that no unit of work holds its locks for long.
_AT_ONCE = 1_000

ALL_JOBS = "all"
"""Harbor's name for all running jobs."""


async def stop_task(ports: EnginePorts, task_id: int) -> Task:
    """Stops a task. It is no error if it has ended.

    Raises:
        DomainError: NOT_FOUND.
    """
    await _in_parts(ports, lambda unit: unit.tasks.lock([task_id]), is_all=True)
    async with ports.store.read() as unit:
        task = await unit.tasks.get(task_id)
    if task is None:
        raise NotFound(message=f"task {task_id} not found")
    return task


async def stop_execution(ports: EnginePorts, execution_id: int) -> Execution:
    """Stops an execution with all its tasks. It is no error if it has ended.

    A repeat goes on where a crash has ended the first call.

    Raises:
        DomainError: NOT_FOUND.
    """

    async def mark() -> Execution:
        now = ports.clock()
        async with ports.store.write() as unit:
            found = await unit.executions.lock([execution_id])
            if not found:
                raise NotFound(message=f"execution {execution_id} not found")
            (execution,) = found
            if execution.status.is_final:
                return execution
            # First of all: then no task that still comes to it, by the success of another, waits to run.
            marked = replace(execution, stop_requested=True)
            if not execution.counts.total:
                marked = settled(replace(marked, status=ExecutionStatus.STOPPED, end_time=now), now)
            await unit.executions.write([marked])
            await unit.commit()
        return marked

    execution = await ports.store.repeat(mark)
    if execution.status.is_final:
        return execution
    await _in_parts(ports, lambda unit: unit.tasks.lock_unfinished(execution_id, _AT_ONCE))
    async with ports.store.read() as unit:
        return await unit.executions.get(execution_id) or execution


async def stop_running(ports: EnginePorts, job_id: str) -> None:
    """Stops a running task by Harbor's job id, or all of them. An unknown id is no error, as in Harbor."""
    if job_id == ALL_JOBS:
        await _in_parts(ports, lambda unit: unit.tasks.lock_running("", _AT_ONCE))
    elif (task_id := to_task_id(job_id)) is not None:
        await _in_parts(ports, lambda unit: unit.tasks.lock([task_id]), is_all=True)


def to_task_id(job_id: str) -> int | None:
    """The task's id in a job id; None if it cannot be one."""
    if not (job_id.isascii() and job_id.isdigit()) or len(job_id) > 19:
        return None
    number = int(job_id)
    return number if 0 < number < 2**63 else None


async def stop_pending(ports: EnginePorts, kind: str) -> int:
    """Stops all tasks that wait in a queue. Those that run go on. Returns how many were stopped."""
    return await _in_parts(ports, lambda unit: unit.tasks.lock_pending(kind, _AT_ONCE))


async def _in_parts(
    ports: EnginePorts, lock: Callable[[UnitOfWork], Awaitable[Sequence[Task]]], *, is_all: bool = False
) -> int:
    """Stops the tasks that `lock` returns, part by part until there are none. With `is_all`, the first part is all."""
    stopped = 0

    async def work() -> int:
        now = ports.clock()
        async with ports.store.write() as unit:
            tasks = [task for task in await lock(unit) if not task.status.is_final and not task.stop_requested]
            transition = Transition(unit, now)
            for task in tasks:
                transition.change(task, _stopped(task, now))
            if tasks:
                await transition.write()
                await unit.commit()
        return len(tasks)

    while True:
        part = await ports.store.repeat(work)
        stopped += part
        if is_all or part == 0:
            return stopped


def _stopped(task: Task, now: datetime) -> Task:
    asked = replace(task, stop_requested=True)
    return asked if task.status is TaskStatus.RUNNING else ended(asked, TaskStatus.STOPPED, now)
