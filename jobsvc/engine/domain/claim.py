"""Gives waiting tasks to workers: each run of a task to one worker only."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from jobsvc.engine.domain.fairness import places_of, share_out
from jobsvc.engine.domain.status import TaskStatus
from jobsvc.engine.domain.transition import Transition
from jobsvc.engine.domain.worker import alive_since, known_worker

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from jobsvc.engine.domain.model import Head, Task, Worker
    from jobsvc.engine.domain.ports import EnginePorts
    from jobsvc.engine.domain.rows import Unit, UnitOfWork
    from svckit.actor import Actor


async def claim_tasks(ports: EnginePorts, *, worker_id: str, claim_key: str, places: int) -> list[Task]:
    """Takes tasks for a worker: as many as it has places, or fewer. Does not wait.

    Args:
        ports: the ports of the engine.
        worker_id: the worker.
        claim_key: names this claim. A repeat with the same key gets the same tasks, as far as they still run.
        places: how many tasks the worker has room for.

    Returns:
        The tasks, in the order in which to start them. Their run, lease and worker are those of this claim.

    Raises:
        DomainError: NOT_FOUND, the worker is unknown.
    """
    now = ports.clock()
    async with ports.store.read() as unit:
        worker = await known_worker(unit, worker_id)
        repeated = await unit.tasks.claimed(worker_id, claim_key)
        # A look first: a unit that writes costs more, and most claims of idle workers find nothing.
        if repeated or not await _choose(ports, unit, worker, 1, now):
            return repeated
    return await ports.store.repeat(lambda: _take(ports, worker, claim_key, places))


async def kinds_of(ports: EnginePorts, worker_id: str) -> frozenset[str]:
    """The kinds that a worker has handlers for.

    Raises:
        DomainError: NOT_FOUND, the worker is unknown.
    """
    async with ports.store.read() as unit:
        return frozenset((await known_worker(unit, worker_id)).kinds)


async def operators_of(ports: EnginePorts, tasks: Collection[Task]) -> Mapping[int, Actor]:
    """Who started the executions of these tasks, by execution."""
    if not tasks:
        return {}
    async with ports.store.read() as unit:
        executions = await unit.executions.states({task.execution_id for task in tasks})
    return {execution.id: execution.operator for execution in executions}


async def _take(ports: EnginePorts, worker: Worker, claim_key: str, places: int) -> list[Task]:
    now = ports.clock()
    async with ports.store.write() as unit:
        # Once more, under the lock of the worker: a repeat may come while the first call is at work, and waits here.
        await unit.workers.lock(worker.id)
        repeated = await unit.tasks.claimed(worker.id, claim_key)
        if repeated:
            return repeated
        chosen = await _choose(ports, unit, worker, places, now)
        limited = {head.kind for head in chosen if _limit(ports, head.kind) is not None}
        if limited:
            # Under the lock of its queue nobody else changes how many tasks of the kind run. Then it is counted again.
            await unit.queues.lock(limited)
            chosen = await _choose(ports, unit, worker, places, now)
            chosen = [head for head in chosen if _limit(ports, head.kind) is None or head.kind in limited]
        taken = await _lock(unit, chosen)
        transition = Transition(unit, now)
        claimed = [_claimed(ports, task, worker.id, claim_key, now) for task in taken]
        for old, new in zip(taken, claimed, strict=True):
            transition.change(old, new)
        if claimed:
            await transition.write()
            await unit.commit()
    return claimed


async def _choose(ports: EnginePorts, unit: Unit, worker: Worker, places: int, now: datetime) -> list[Head]:
    kinds = set(worker.kinds) - await unit.queues.paused()
    heads = await unit.tasks.heads(kinds, places)
    if not heads:
        return []
    running = await unit.tasks.running()
    all_places = await unit.workers.places(alive_since(ports, now))
    return share_out(heads, running, lambda kind: places_of(_limit(ports, kind), all_places), places)


def _limit(ports: EnginePorts, kind: str) -> int | None:
    found = ports.kinds.get(kind)
    return None if found is None else found.concurrency


async def _lock(unit: UnitOfWork, chosen: Collection[Head]) -> list[Task]:
    """Locks as many tasks of each kind as were chosen.

    Another replica may have taken those that were seen. Then the next ones of the queue are taken.
    """
    tasks: list[Task] = []
    wanted: Mapping[str, int] = Counter(head.kind for head in chosen)
    for kind, count in sorted(wanted.items()):
        tasks += await unit.tasks.lock_pending(kind, count)
    places = {head.id: place for place, head in enumerate(chosen)}
    return sorted(tasks, key=lambda task: (places.get(task.id, len(places)), task.priority, task.id))


def _claimed(ports: EnginePorts, task: Task, worker_id: str, claim_key: str, now: datetime) -> Task:
    return replace(
        task,
        status=TaskStatus.RUNNING,
        status_message="",
        run=task.run + 1,
        worker_id=worker_id,
        claim_key=claim_key,
        lease_end_time=now + ports.rules.lease_of(ports.kinds.get(task.kind)),
        start_time=now,
        end_time=None,
    )
