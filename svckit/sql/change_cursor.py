"""The table of cursors of a change log (`svckit.change.Cursor`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, case, delete, func, select

from svckit.change import Cursor, LogPosition
from svckit.changes.store import MOST_CURSORS
from svckit.errors import error_for
from svckit.sql.statements import upsert
from svckit.sql.types import ByteOrdered, UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection


class CursorTable:
    """The cursors of one log."""

    def __init__(self, metadata: MetaData) -> None:
        """Adds the table to a service's tables. The service's migrations must make it."""
        self.table = Table(
            "change_cursor",
            metadata,
            Column("name", ByteOrdered, primary_key=True),
            Column("epoch", String(32), nullable=False),
            Column("revision", BigInteger, nullable=False),
            # The name of the service that keeps it.
            Column("holder", String(32), nullable=False),
            Column("put_time", UtcDateTime, nullable=False),
        )

    async def all(self, conn: AsyncConnection) -> list[Cursor]:
        """All cursors, by name."""
        rows = await conn.execute(select(self.table).order_by(self.table.c.name))
        return [_to_cursor(row) for row in rows]

    async def get(self, conn: AsyncConnection, name: str) -> Cursor | None:
        """The cursor of that name."""
        row = (await conn.execute(select(self.table).where(self.table.c.name == name))).one_or_none()
        return None if row is None else _to_cursor(row)

    async def put(self, conn: AsyncConnection, cursor: Cursor) -> Cursor:
        """Puts a cursor. See `svckit.changes.store.ChangeStore.put_cursor`; the position was checked already."""
        kept = self.table.c
        others = select(func.count()).select_from(self.table).where(kept.name != cursor.name)
        if (await conn.execute(others)).scalar_one() >= MOST_CURSORS:
            raise error_for("PRECONDITION", f"there are {MOST_CURSORS} cursors already")
        added = upsert(conn, self.table).values(
            name=cursor.name,
            epoch=cursor.position.epoch,
            revision=cursor.position.revision,
            holder=cursor.holder,
            put_time=cursor.put_time,
        )
        new = added.excluded
        # An answer that was lost may be repeated after a later call.
        goes_back = (kept.epoch == new.epoch) & (kept.revision > new.revision)
        statement = added.on_conflict_do_update(
            index_elements=[kept.name],
            set_={
                "epoch": new.epoch,
                "revision": case((goes_back, kept.revision), else_=new.revision),
                "put_time": new.put_time,
            },
            where=kept.holder == new.holder,
        ).returning(*kept)
        row = (await conn.execute(statement)).one_or_none()
        if row is None:
            raise error_for("CONFLICT", "another service keeps a cursor of this name")
        return _to_cursor(row)

    async def remove(self, conn: AsyncConnection, name: str) -> bool:
        """Deletes a cursor. Returns whether there was one."""
        return (await conn.execute(delete(self.table).where(self.table.c.name == name))).rowcount > 0


def _to_cursor(row: Row[Any]) -> Cursor:
    return Cursor(
        name=row.name,
        position=LogPosition(epoch=row.epoch, revision=row.revision),
        holder=row.holder,
        put_time=row.put_time,
    )
