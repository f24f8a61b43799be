"""What each replica does again and again, so that nothing waits for ever: the rows are looked at, not the messages.

It is done by conditional writes, which skip what another replica is at. So any number of replicas may do it at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobsvc.engine.domain.schedule import fire_schedules
from jobsvc.engine.domain.status import TaskCounts, TaskStatus
from jobsvc.engine.domain.transition import Transition, ended, queued, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.model import Execution, Task
    from jobsvc.engine.domain.ports import EnginePorts
    from jobsvc.engine.domain.rows import Unit, UnitOfWork

_AT_ONCE = 1_000
_REPAIRED_AT_ONCE = 100

LOST_TOO_OFTEN = "the workers that ran it have died too often"


async def reconcile(ports: EnginePorts) -> None:
    """One round: tasks of dead workers, tasks whose time has come, and schedules."""
    await end_lost(ports)
    await queue_due(ports)
    await fire_schedules(ports)


async def end_lost(ports: EnginePorts) -> int:
    """Takes tasks whose lease has ended away from their workers. Returns how many.

    They are Pending again, or end if they were lost too often, or if somebody has asked for them to stop.
    """

    def lose(task: Task, now: datetime) -> Task:
        lost = replace(task, losses=task.losses + 1)
        if task.stop_requested:
            return ended(replace(lost, worker_id="", claim_key=""), TaskStatus.STOPPED, now)
        if lost.losses >= ports.rules.most_losses:
            return ended(replace(lost, worker_id="", claim_key=""), TaskStatus.ERROR, now, LOST_TOO_OFTEN)
        return queued(lost, now)

    lost = await _move(
        ports,
        lambda unit, now: unit.tasks.has_lost(now),
        lambda unit, now: unit.tasks.lock_lost(now, _AT_ONCE),
        lose,
    )
    for task in lost:
        ports.observer.lost(task.kind)
    return len(lost)


async def queue_due(ports: EnginePorts) -> int:
    """Makes Scheduled tasks whose time has come Pending. Returns how many."""
    due = await _move(
        ports,
        lambda unit, now: unit.tasks.has_due(now),
        lambda unit, now: unit.tasks.lock_due(now, _AT_ONCE),
        queued,
    )
    return len(due)


async def _move(
    ports: EnginePorts,
    look: Callable[[Unit, datetime], Awaitable[bool]],
    lock: Callable[[UnitOfWork, datetime], Awaitable[Sequence[Task]]],
    move: Callable[[Task, datetime], Task],
) -> list[Task]:
    """Moves the tasks that `lock` returns, part by part, and announces those that are Pending. Returns them."""

    async def work() -> list[Task]:
        now = ports.clock()
        async with ports.store.write() as unit:
            tasks = await lock(unit, now)
            moved = [move(task, now) for task in tasks]
            transition = Transition(unit, now)
            for old, new in zip(tasks, moved, strict=True):
                transition.change(old, new)
            if moved:
                await transition.write()
                await unit.commit()
        return moved

    # Most rounds find nothing, and then nothing is locked.
    async with ports.store.read() as unit:
        if not await look(unit, ports.clock()):
            return []
    everything: list[Task] = []
    while True:
        moved = await ports.store.repeat(work)
        everything += moved
        if len(moved) < _AT_ONCE:
            break
    await ports.announce({task.kind for task in everything if task.status is TaskStatus.PENDING})
    return everything


async def wake_waiting(ports: EnginePorts) -> None:
    """Wakes the claims of this replica for which tasks wait. So a lost wake-up delays a task by one round only."""
    if not ports.wakes.has_waiting:
        return
    async with ports.store.read() as unit:
        waiting = {head.kind for head in await unit.tasks.heads(ports.kinds.names, 1)}
        waiting -= await unit.queues.paused()
    ports.wakes.wake(waiting)


async def repair_executions(ports: EnginePorts) -> int:
    """Counts the tasks anew of executions whose status does not fit. Returns how many were repaired.

    Every change of a task counts in its own transaction, so this finds nothing unless somebody has changed rows by
    hand.
    """
    async with ports.store.read() as unit:
        miscounted = await unit.executions.miscounted(_REPAIRED_AT_ONCE)
    if not miscounted:
        return 0

    async def work() -> int:
        now = ports.clock()
        async with ports.store.write() as unit:
            executions = await unit.executions.lock(miscounted)
            # After the lock, in a statement of its own: whoever changes a task now waits for it, and counts from here.
            counted = await unit.tasks.count_statuses([each.id for each in executions])
            repaired = [_recounted(each, counted.get(each.id, TaskCounts()), now) for each in executions]
            await unit.executions.write(repaired)
            await unit.commit()
        return len(repaired)

    return await ports.store.repeat(work)


def _recounted(execution: Execution, counts: TaskCounts, now: datetime) -> Execution:
    return settled(replace(execution, counts=counts), now)
