"""The rows of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, select, update

from jobsvc.engine.domain.model import Worker
from jobsvc.engine.store.tables import worker
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_GET = select(worker).where(worker.c.id == bindparam("worker_id"))


class SqlWorkers:
    """See `domain.rows.WorkerRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, worker_id: str) -> Worker | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"worker_id": worker_id})).one_or_none()
        return None if row is None else _worker(row)

    async def lock(self, worker_id: str) -> None:
        """See the port."""
        await self._conn.execute(_GET.with_for_update(), {"worker_id": worker_id})

    async def alive(self, since: datetime, limit: int) -> list[Worker]:
        """See the port."""
        rows = await self._conn.execute(
            select(worker)
            .where(worker.c.heartbeat_time >= since)
            .order_by(worker.c.start_time, worker.c.id)
            .limit(limit)
        )
        return [_worker(row) for row in rows]

    async def places(self, since: datetime) -> int:
        """See the port."""
        places = await self._conn.scalar(select(func.sum(worker.c.concurrency)).where(worker.c.heartbeat_time >= since))
        return int(places or 0)

    async def put(self, new: Worker) -> None:
        """See the port."""
        values = {
            "host": new.host,
            "pid": new.pid,
            "concurrency": new.concurrency,
            "kinds": list(new.kinds),
            "start_time": new.start_time,
            "heartbeat_time": new.heartbeat_time,
        }
        await self._conn.execute(
            upsert(self._conn, worker)
            .values(id=new.id, **values)
            .on_conflict_do_update(index_elements=["id"], set_=values)
        )

    async def beat(self, worker_id: str, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(update(worker).where(worker.c.id == worker_id).values(heartbeat_time=now))

    async def remove(self, worker_id: str) -> None:
        """See the port."""
        await self._conn.execute(delete(worker).where(worker.c.id == worker_id))

    async def remove_silent(self, since: datetime, limit: int) -> int:
        """See the port."""
        silent = (
            select(worker.c.id)
            .where(worker.c.heartbeat_time < since)
            .order_by(worker.c.heartbeat_time)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._conn.execute(delete(worker).where(worker.c.id.in_(silent)))).rowcount


def _worker(row: Row[Any]) -> Worker:
    return Worker(
        id=row.id,
        host=row.host,
        pid=row.pid,
        concurrency=row.concurrency,
        kinds=tuple(row.kinds),
        start_time=row.start_time,
        heartbeat_time=row.heartbeat_time,
    )
