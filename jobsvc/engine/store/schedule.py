"""The rows of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update

from jobsvc.engine.domain.model import Schedule
from jobsvc.engine.store.tables import schedule
from svckit.sql.selection import Columns, count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Columns = {"id": schedule.c.id}
_ALL = select(schedule)
_FIND = _ALL.where(schedule.c.kind == bindparam("kind"), schedule.c.vendor_id == bindparam("vendor_id"))


class SqlSchedules:
    """See `domain.rows.ScheduleRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def find(self, kind: str, vendor_id: int) -> Schedule | None:
        """See the port."""
        row = (await self._conn.execute(_FIND, {"kind": kind, "vendor_id": vendor_id})).one_or_none()
        return None if row is None else _schedule(row)

    async def page(self, selection: Selection) -> list[Schedule]:
        """See the port."""
        return [_schedule(row) for row in await read_page(self._conn, _ALL, _COLUMNS, selection)]

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _ALL, _COLUMNS, clauses)

    async def lock(self, kind: str, vendor_id: int) -> Schedule | None:
        """See the port."""
        found = await self._conn.execute(_FIND.with_for_update(), {"kind": kind, "vendor_id": vendor_id})
        row = found.one_or_none()
        return None if row is None else _schedule(row)

    async def is_due(self, now: datetime) -> bool:
        """See the port."""
        return await self._conn.scalar(select(schedule.c.id).where(schedule.c.next_time <= now).limit(1)) is not None

    async def lock_due(self, now: datetime, limit: int) -> list[Schedule]:
        """See the port."""
        due = _ALL.where(schedule.c.next_time <= now).order_by(schedule.c.next_time).limit(limit)
        return [_schedule(row) for row in (await self._conn.execute(due.with_for_update(skip_locked=True))).all()]

    async def add(self, new: Schedule) -> int | None:
        """See the port."""
        added: int | None = await self._conn.scalar(
            upsert(self._conn, schedule)
            .values(
                kind=new.kind,
                vendor_id=new.vendor_id,
                cron_type=new.cron_type,
                cron=new.cron,
                parameters=dict(new.parameters),
                next_time=new.next_time,
                last_time=new.last_time,
                update_time=new.update_time,
                is_default=new.is_default,
            )
            .on_conflict_do_nothing()
            .returning(schedule.c.id)
        )
        return added

    async def set_times(self, schedule_id: int, *, next_time: datetime | None, last_time: datetime | None) -> None:
        """See the port."""
        await self._conn.execute(
            update(schedule).where(schedule.c.id == schedule_id).values(next_time=next_time, last_time=last_time)
        )

    async def remove(self, schedule_id: int) -> None:
        """See the port."""
        await self._conn.execute(delete(schedule).where(schedule.c.id == schedule_id))


def _schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        id=row.id,
        kind=row.kind,
        vendor_id=row.vendor_id,
        cron_type=row.cron_type,
        cron=row.cron,
        parameters=row.parameters,
        next_time=row.next_time,
        last_time=row.last_time,
        update_time=row.update_time,
        is_default=row.is_default,
    )
