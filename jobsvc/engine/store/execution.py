"""The rows of executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, select, union

from jobsvc.engine.domain.model import Execution
from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts, TaskStatus, Trigger
from jobsvc.engine.store.row_values import write_rows
from jobsvc.engine.store.tables import execution, task
from svckit.sql.actor import actor_values, to_actor
from svckit.sql.selection import Columns, count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from jobsvc.engine.domain.model import NewExecution
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Columns = {
    "id": execution.c.id,
    "kind": execution.c.kind,
    "vendor_id": execution.c.vendor_id,
    "status": execution.c.status,
    "trigger": execution.c.trigger,
    "start_time": execution.c.start_time,
}
_COUNTS = tuple(f"{status.name.lower()}_count" for status in TaskStatus)
_WRITTEN = ("status", "status_message", "extra_attributes", "end_time", "update_time", "stop_requested", *_COUNTS)
_UNFINISHED = (TaskStatus.PENDING, TaskStatus.SCHEDULED, TaskStatus.RUNNING)
_ALL = select(execution)
_GET = _ALL.where(execution.c.id == bindparam("execution_id"))
_BY_ID = _ALL.where(execution.c.id.in_(bindparam("ids", expanding=True))).order_by(execution.c.id)
# New tasks refer to it. Without `key_share`, their transaction and this one could wait for each other.
_LOCK = _BY_ID.with_for_update(key_share=True)


class SqlExecutions:
    """See `domain.rows.ExecutionRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, execution_id: int) -> Execution | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"execution_id": execution_id})).one_or_none()
        return None if row is None else _execution(row)

    async def page(self, selection: Selection) -> list[Execution]:
        """See the port."""
        return [_execution(row) for row in await read_page(self._conn, _ALL, _COLUMNS, selection)]

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, select(execution.c.id), _COLUMNS, clauses)

    async def states(self, execution_ids: Collection[int]) -> list[Execution]:
        """See the port."""
        return await self._by_id(_BY_ID, execution_ids)

    async def lock(self, execution_ids: Collection[int]) -> list[Execution]:
        """See the port."""
        return await self._by_id(_LOCK, execution_ids)

    async def add(self, new: NewExecution, status: ExecutionStatus, now: datetime) -> int | None:
        """See the port."""
        added: int | None = await self._conn.scalar(
            upsert(self._conn, execution)
            .values(
                kind=new.kind,
                vendor_id=new.vendor_id,
                status=status,
                status_message=new.message,
                trigger=new.trigger,
                extra_attributes=dict(new.extra_attributes),
                parameters=dict(new.parameters),
                **actor_values(new.operator),
                schedule_id=new.schedule_id,
                fire_time=new.fire_time,
                start_time=now,
                end_time=now if status.is_final else None,
                update_time=now,
                stop_requested=False,
                **dict.fromkeys(_COUNTS, 0),
            )
            .on_conflict_do_nothing(index_elements=["schedule_id", "fire_time"])
            .returning(execution.c.id)
        )
        return added

    async def write(self, executions: Collection[Execution]) -> None:
        """See the port."""
        await write_rows(self._conn, execution, _WRITTEN, [_values(each) for each in executions])

    async def remove(self, execution_ids: Collection[int]) -> int:
        """See the port."""
        chosen = execution.c.id.in_(list(execution_ids))
        tasks = await self._conn.scalar(select(func.sum(_total())).where(chosen))
        await self._conn.execute(delete(execution).where(chosen))
        return int(tasks or 0)

    async def lock_beyond(self, kind: str, kept: int, limit: int) -> list[int]:
        """See the port."""
        place = func.row_number().over(partition_by=execution.c.vendor_id, order_by=execution.c.id.desc())
        ranked = (
            select(execution.c.id, execution.c.status, place.label("place")).where(execution.c.kind == kind).subquery()
        )
        old = (
            select(ranked.c.id)
            .where(ranked.c.place > kept, ranked.c.status != ExecutionStatus.RUNNING)
            .order_by(ranked.c.id)
            .limit(limit)
        )
        locked = select(execution.c.id).where(execution.c.id.in_(old)).order_by(execution.c.id)
        # Another replica that sweeps at the same time has these.
        return list((await self._conn.scalars(locked.with_for_update(skip_locked=True))).all())

    async def kinds(self) -> list[str]:
        """See the port."""
        return list((await self._conn.scalars(select(execution.c.kind).distinct().order_by(execution.c.kind))).all())

    async def has_running(self, schedule_id: int) -> bool:
        """See the port."""
        running = select(execution.c.id).where(
            execution.c.schedule_id == schedule_id, execution.c.status == ExecutionStatus.RUNNING
        )
        return await self._conn.scalar(running.limit(1)) is not None

    async def miscounted(self, limit: int) -> list[int]:
        """See the port."""
        unfinished = task.c.status.in_(_UNFINISHED)
        has_unfinished = select(task.c.id).where(task.c.execution_id == execution.c.id, unfinished).exists()
        too_long = select(execution.c.id).where(
            execution.c.status == ExecutionStatus.RUNNING, ~has_unfinished, _total() > 0
        )
        too_short = (
            select(task.c.execution_id.label("id"))
            .join(execution, execution.c.id == task.c.execution_id)
            .where(unfinished, execution.c.status != ExecutionStatus.RUNNING)
        )
        return list((await self._conn.scalars(union(too_long, too_short).limit(limit))).all())

    async def _by_id(self, query: Select[Any], execution_ids: Collection[int]) -> list[Execution]:
        if not execution_ids:
            return []
        return [_execution(row) for row in (await self._conn.execute(query, {"ids": sorted(execution_ids)})).all()]


def _total() -> ColumnElement[int]:
    total: ColumnElement[int] = execution.c[_COUNTS[0]]
    for name in _COUNTS[1:]:
        total = total + execution.c[name]
    return total


def _values(each: Execution) -> dict[str, Any]:
    return {
        "id": each.id,
        "status": each.status.value,
        "status_message": each.status_message,
        "extra_attributes": each.extra_attributes,
        "end_time": each.end_time,
        "update_time": each.update_time,
        "stop_requested": each.stop_requested,
        **{f"{status.name.lower()}_count": getattr(each.counts, status.name.lower()) for status in TaskStatus},
    }


def _execution(row: Row[Any]) -> Execution:
    return Execution(
        id=row.id,
        kind=row.kind,
        vendor_id=row.vendor_id,
        status=ExecutionStatus(row.status),
        status_message=row.status_message,
        trigger=Trigger(row.trigger),
        extra_attributes=row.extra_attributes,
        parameters=row.parameters,
        operator=to_actor(row),
        counts=TaskCounts(
            **{status.name.lower(): getattr(row, f"{status.name.lower()}_count") for status in TaskStatus}
        ),
        schedule_id=row.schedule_id,
        start_time=row.start_time,
        end_time=row.end_time,
        update_time=row.update_time,
        stop_requested=row.stop_requested,
    )
