"""Which executions, logs and workers are not kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from jobsvc.engine.domain.kind import Kind

if TYPE_CHECKING:
    from datetime import datetime

    from jobsvc.engine.domain.ports import EnginePorts

KIND = Kind(
    name="EXECUTION_SWEEP",
    concurrency=1,
    maximum_failures=3,
    default_schedule="0 0 0 * * *",
    vendor_id=-1,
    kept_executions=10,
    may_be_started=True,
)
"""Harbor's kind: every day at midnight, once at a time in the whole installation."""

# What is deleted in one unit of work. Each execution takes its tasks and their logs along.
_EXECUTIONS_AT_ONCE = 100
_LOG_PIECES_AT_ONCE = 1_000
_WORKERS_AT_ONCE = 1_000

_WORKERS_KEPT = timedelta(days=1)
"""A worker that was not heard of for so long is not coming back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What was deleted.

    Attributes:
        executions: ended executions beyond those that are kept.
        tasks: their tasks.
        log_pieces: pieces of logs that were too old.
        workers: workers that are gone.
    """

    executions: int = 0
    tasks: int = 0
    log_pieces: int = 0
    workers: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            executions=self.executions + other.executions,
            tasks=self.tasks + other.tasks,
            log_pieces=self.log_pieces + other.log_pieces,
            workers=self.workers + other.workers,
        )


async def sweep(ports: EnginePorts) -> Swept:
    """Deletes a batch of what is not kept. If it deletes nothing, nothing is left to delete.

    Of each kind and object, the newest executions are kept: as many as the kind says. As in Harbor, one that has not
    ended stays, however old it is.
    """
    now = ports.clock()
    swept = Swept()
    async with ports.store.read() as unit:
        kinds = await unit.executions.kinds()
    for name in kinds:
        swept += await _sweep_kind(ports, ports.kinds.get(name) or Kind(name=name))
    return swept + await _sweep_rest(ports, now)


async def _sweep_kind(ports: EnginePorts, kind: Kind) -> Swept:
    async def work() -> Swept:
        async with ports.store.write() as unit:
            old = await unit.executions.lock_beyond(kind.name, kind.kept_executions, _EXECUTIONS_AT_ONCE)
            if not old:
                return Swept()
            tasks = await unit.executions.remove(old)
            await unit.commit()
        return Swept(executions=len(old), tasks=tasks)

    return await ports.store.repeat(work)


async def _sweep_rest(ports: EnginePorts, now: datetime) -> Swept:
    async def work() -> Swept:
        async with ports.store.write() as unit:
            workers = await unit.workers.remove_silent(now - _WORKERS_KEPT, _WORKERS_AT_ONCE)
            oldest = now - timedelta(days=ports.rules.task_log_days)
            pieces = await unit.logs.remove_before(oldest, _LOG_PIECES_AT_ONCE)
            await unit.commit()
        return Swept(log_pieces=pieces, workers=workers)

    return await ports.store.repeat(work)
