"""What the administrators tell everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Table, Text, insert, select

from authsvc.domain.model import Notice
from authsvc.store.tables import metadata
from svckit.sql.types import BigIntKey, UtcDateTime

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_notice = Table(
    "notice",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("text", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)


class SqlNotices:
    """See `domain.ports.NoticeRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def add(self, text: str, now: datetime) -> Notice:
        """See the port."""
        statement = insert(_notice).values(text=text, create_time=now).returning(_notice.c.id)
        return Notice((await self._conn.execute(statement)).scalar_one(), text)

    async def get(self, notice_id: int) -> Notice | None:
        """See the port."""
        row = (await self._conn.execute(select(_notice).where(_notice.c.id == notice_id))).one_or_none()
        return None if row is None else Notice(row.id, row.text)
