"""How far this service has read the change logs of others: one row for each log and purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, MetaData, String, Table, select

from svckit.change import LogPosition
from svckit.sql.statements import upsert
from svckit.sql.types import ByteOrdered

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.sql.database import Database


class FollowedLogTable:
    """The table of positions."""

    def __init__(self, metadata: MetaData) -> None:
        """Adds the table to a service's tables. The service's migrations must make it."""
        self.table = Table(
            "followed_log",
            metadata,
            # Such as "authsvc projects".
            Column("name", ByteOrdered, primary_key=True),
            Column("epoch", String(32), nullable=False),
            Column("revision", BigInteger, nullable=False),
        )

    async def position(self, conn: AsyncConnection, name: str) -> LogPosition | None:
        """The position that was kept last; None if there is none."""
        query = select(self.table).where(self.table.c.name == name)
        row = (await conn.execute(query)).one_or_none()
        return None if row is None else LogPosition(epoch=row.epoch, revision=row.revision)

    async def keep(self, conn: AsyncConnection, name: str, position: LogPosition) -> None:
        """Keeps a position. Do this in the unit that keeps what was made of the changes, or after it."""
        values = {"epoch": position.epoch, "revision": position.revision}
        added = upsert(conn, self.table).values(name=name, **values)
        await conn.execute(added.on_conflict_do_update(index_elements=[self.table.c.name], set_=values))


class FollowedLog:
    """The position in one log, for a consumer whose work may be done twice. Each method is a unit of its own."""

    def __init__(self, database: Database, table: FollowedLogTable, name: str) -> None:
        """Takes the place of the position.

        Args:
            database: of the service.
            table: in it.
            name: of the log and of its reader.
        """
        self._database = database
        self._table = table
        self._name = name

    async def position(self) -> LogPosition | None:
        """The position that was kept last; None if there is none."""
        async with self._database.read() as conn:
            return await self._table.position(conn, self._name)

    async def keep(self, position: LogPosition) -> None:
        """Keeps a position."""
        async with self._database.write() as conn:
            await self._table.keep(conn, self._name, position)
            await conn.commit()
