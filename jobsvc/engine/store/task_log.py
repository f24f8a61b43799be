"""The pieces of the logs of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, or_, select

from jobsvc.engine.domain.model import LogPiece, LogPosition
from jobsvc.engine.store.row_values import write_rows
from jobsvc.engine.store.tables import task, task_log
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_PIECES_AT_ONCE = 1_000
_ORDER = (task_log.c.run, task_log.c.sequence)


class SqlTaskLogs:
    """See `domain.rows.TaskLogRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def add(self, pieces: Sequence[LogPiece], sizes: Mapping[int, int], now: datetime) -> None:
        """See the port."""
        await write_rows(
            self._conn, task, ("log_bytes",), [{"id": task_id, "log_bytes": size} for task_id, size in sizes.items()]
        )
        await self._conn.execute(
            upsert(self._conn, task_log).on_conflict_do_nothing(),
            [
                {
                    "task_id": piece.task_id,
                    "run": piece.position.run,
                    "sequence": piece.position.sequence,
                    "text": piece.text,
                    "create_time": now,
                }
                for piece in pieces
            ],
        )

    async def sizes(self, task_ids: Collection[int]) -> Mapping[int, int]:
        """See the port."""
        rows = await self._conn.execute(select(task.c.id, task.c.log_bytes).where(task.c.id.in_(list(task_ids))))
        return {row.id: row.log_bytes for row in rows}

    async def read(self, task_id: int, start: LogPosition, most_bytes: int) -> list[LogPiece]:
        """See the port."""
        from_start = or_(
            task_log.c.run > start.run, and_(task_log.c.run == start.run, task_log.c.sequence >= start.sequence)
        )
        # The bytes of all pieces up to and without each one. Only the sizes are read to find where to end.
        before = func.sum(func.length(task_log.c.text)).over(order_by=_ORDER) - func.length(task_log.c.text)
        sized = (
            select(*_ORDER, before.label("before"))
            .where(task_log.c.task_id == task_id, from_start)
            .order_by(*_ORDER)
            .limit(_PIECES_AT_ONCE)
            .subquery()
        )
        rows = await self._conn.execute(
            select(task_log.c.run, task_log.c.sequence, task_log.c.text)
            .join(sized, and_(task_log.c.run == sized.c.run, task_log.c.sequence == sized.c.sequence))
            .where(task_log.c.task_id == task_id, sized.c.before < most_bytes)
            .order_by(*_ORDER)
        )
        return [
            LogPiece(task_id=task_id, position=LogPosition(row.run, row.sequence), text=bytes(row.text)) for row in rows
        ]

    async def remove_before(self, time: datetime, limit: int) -> int:
        """See the port."""
        old = (
            select(task_log.c.task_id, *_ORDER)
            .where(task_log.c.create_time < time)
            .order_by(task_log.c.create_time)
            .limit(limit)
            .subquery()
        )
        removed = await self._conn.execute(
            delete(task_log).where(
                select(old.c.task_id)
                .where(
                    old.c.task_id == task_log.c.task_id,
                    old.c.run == task_log.c.run,
                    old.c.sequence == task_log.c.sequence,
                )
                .exists()
            )
        )
        return removed.rowcount
