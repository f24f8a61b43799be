"""The rows of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from jobsvc.engine.domain.model import QueueState
from jobsvc.engine.domain.status import TaskStatus
from jobsvc.engine.store.tables import queue, task
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


class SqlQueues:
    """See `domain.rows.QueueRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def add_missing(self, kinds: Collection[str], now: datetime) -> None:
        """See the port."""
        rows = [{"kind": kind, "paused": False, "update_time": now} for kind in sorted(kinds)]
        await self._conn.execute(upsert(self._conn, queue).on_conflict_do_nothing(), rows)

    async def paused(self) -> frozenset[str]:
        """See the port."""
        return frozenset((await self._conn.scalars(select(queue.c.kind).where(queue.c.paused))).all())

    async def set_paused(self, kinds: Collection[str], now: datetime, *, paused: bool) -> None:
        """See the port."""
        await self.add_missing(kinds, now)
        await self.lock(kinds)
        changed = queue.c.kind.in_(sorted(kinds))
        await self._conn.execute(update(queue).where(changed).values(paused=paused, update_time=now))

    async def lock(self, kinds: Collection[str]) -> None:
        """See the port."""
        rows = select(queue.c.kind).where(queue.c.kind.in_(sorted(kinds))).order_by(queue.c.kind)
        await self._conn.execute(rows.with_for_update())

    async def states(self) -> list[QueueState]:
        """See the port."""
        kinds = (await self._conn.execute(select(queue.c.kind, queue.c.paused).order_by(queue.c.kind))).all()
        tasks = (
            select(task.c.kind, task.c.status, func.count().label("tasks"), func.min(task.c.queue_time).label("oldest"))
            .where(task.c.status.in_([TaskStatus.PENDING, TaskStatus.RUNNING]))
            .group_by(task.c.kind, task.c.status)
        )
        found = {(row.kind, row.status): row for row in (await self._conn.execute(tasks)).all()}
        states = []
        for row in kinds:
            pending, running = found.get((row.kind, TaskStatus.PENDING)), found.get((row.kind, TaskStatus.RUNNING))
            states.append(
                QueueState(
                    kind=row.kind,
                    paused=row.paused,
                    pending=0 if pending is None else pending.tasks,
                    oldest_time=None if pending is None else pending.oldest,
                    running=0 if running is None else running.tasks,
                )
            )
        return states
