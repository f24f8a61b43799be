"""The stored values of the runtime configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from authsvc.store.tables import configuration
from svckit.sql.statements import advisory_xact_lock, upsert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_READ = select(configuration.c.name, configuration.c.value)


class SqlConfiguration:
    """See `domain.rows.ConfigurationRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def read(self) -> Mapping[str, bool | int | str]:
        """See the port."""
        rows = await self._conn.execute(_READ)
        return {name: value for name, value in rows}  # noqa: C416 - dict() does not take rows, in the eyes of mypy

    async def lock(self) -> None:
        """See the port."""
        # The rows cannot be locked: those of values that were never set do not exist.
        await advisory_xact_lock(self._conn, "configuration")

    async def write(self, values: Mapping[str, bool | int | str], now: datetime) -> None:
        """See the port."""
        insert = upsert(self._conn, configuration)
        await self._conn.execute(
            insert.on_conflict_do_update(
                index_elements=[configuration.c.name],
                set_={"value": insert.excluded.value, "update_time": insert.excluded.update_time},
            ),
            [{"name": name, "value": value, "update_time": now} for name, value in values.items()],
        )
