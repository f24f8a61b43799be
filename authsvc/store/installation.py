"""The row of the first start, and the first rows of other tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select

from authsvc.store.tables import installation, project, user
from svckit.sql.statements import advisory_xact_lock

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_ROW_ID = 1
_FIRST_ID = 1


class SqlInstallation:
    """See `domain.rows.InstallationRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def robot_secret_key(self) -> bytes | None:
        """See the port."""
        key: bytes | None = await self._conn.scalar(select(installation.c.robot_secret_key))
        return key

    async def lock(self) -> None:
        """See the port."""
        await advisory_xact_lock(self._conn, "first start")

    async def add(self, robot_secret_key: bytes, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(
            insert(installation).values(id=_ROW_ID, robot_secret_key=robot_secret_key, create_time=now)
        )

    async def add_first_user(self, username: str, password_hash: str, now: datetime) -> int:
        """See the port."""
        await self._conn.execute(
            insert(user).values(
                id=_FIRST_ID,
                username=username,
                email=None,
                realname="system admin",
                comment="",
                password_hash=password_hash,
                is_administrator=True,
                disabled=False,
                version=1,
                create_time=now,
                update_time=now,
            )
        )
        await self._advance_sequence(user)
        return _FIRST_ID

    async def add_first_project(self, name: str, owner_id: int, storage_limit_bytes: int, now: datetime) -> int:
        """See the port."""
        await self._conn.execute(
            insert(project).values(
                id=_FIRST_ID,
                name=name,
                owner_id=owner_id,
                public=True,
                initial_storage_limit_bytes=storage_limit_bytes,
                version=1,
                create_time=now,
                update_time=now,
            )
        )
        await self._advance_sequence(project)
        return _FIRST_ID

    async def _advance_sequence(self, table: Table) -> None:
        # PostgreSQL's sequence does not know about ids in INSERT statements. Without this, the next row would get the
        # same id. SQLite needs nothing.
        if self._conn.dialect.name == "postgresql":
            sequence = func.pg_get_serial_sequence(f'"{table.name}"', "id")
            await self._conn.execute(select(func.setval(sequence, _FIRST_ID)))
