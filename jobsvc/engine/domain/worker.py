"""The worker processes that are known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from svckit.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from jobsvc.engine.domain.model import Task, Worker
    from jobsvc.engine.domain.ports import EnginePorts
    from jobsvc.engine.domain.rows import Unit

ALL_POOLS = "all"
"""Harbor's name for all pools."""

BEAT_SECONDS = 10.0
"""How often the row of a worker that reports is written."""

_MOST_POOLS = 1_000
_MOST_PLACES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place of a worker.

    Attributes:
        id: the worker's id, and a number.
        pool_id: the worker.
        task: what runs in it; None if it is free.
    """

    id: str
    pool_id: str
    task: Task | None


async def known_worker(unit: Unit, worker_id: str) -> Worker:
    """Reads a worker.

    Raises:
        DomainError: NOT_FOUND, it has to register first.
    """
    worker = await unit.workers.get(worker_id)
    if worker is None:
        raise NotFound(message="this worker is unknown: register it first")
    return worker


def alive_since(ports: EnginePorts, now: datetime) -> datetime:
    """A worker that was not heard of since then counts as dead."""
    return now - timedelta(seconds=ports.rules.lease_seconds + BEAT_SECONDS)


async def register_worker(ports: EnginePorts, worker: Worker) -> None:
    """Makes a worker known, or replaces what is known of it."""

    async def work() -> None:
        async with ports.store.write() as unit:
            await unit.workers.put(worker)
            await unit.commit()

    await ports.store.repeat(work)


async def list_pools(ports: EnginePorts) -> list[Worker]:
    """The workers that are alive, the oldest first."""
    async with ports.store.read() as unit:
        return await unit.workers.alive(alive_since(ports, ports.clock()), _MOST_POOLS)


async def list_places(ports: EnginePorts, pool_id: str) -> list[Place]:
    """The places of one worker that is alive, or of all: busy ones first."""
    async with ports.store.read() as unit:
        workers = await unit.workers.alive(alive_since(ports, ports.clock()), _MOST_POOLS)
        if pool_id != ALL_POOLS:
            workers = [worker for worker in workers if worker.id == pool_id]
        running = await unit.tasks.running_of("" if pool_id == ALL_POOLS else pool_id, _MOST_PLACES) if workers else []
    busy: list[Place] = []
    free: list[Place] = []
    for worker in workers:
        tasks: list[Task | None] = [task for task in running if task.worker_id == worker.id]
        tasks += [None] * (worker.concurrency - len(tasks))
        for number, task in enumerate(tasks):
            (free if task is None else busy).append(Place(id=f"{worker.id}-{number}", pool_id=worker.id, task=task))
    return [*busy, *free][:_MOST_PLACES]
