"""A change log with its cursors, each method in a unit of work of its own: `svckit.changes.store.ChangeStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from svckit.change import K
from svckit.changes.feed import ChangeFeed
from svckit.changes.serving import ChangeServing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from svckit.change import ChangeFilter, ChangePage, Cursor, LogPosition, LogState
    from svckit.changes.serving import InRepository
    from svckit.changes.settings import ChangeLogSettings
    from svckit.sql.change_cursor import CursorTable
    from svckit.sql.change_log import ChangeLog
    from svckit.sql.database import Database

_POLL_SECONDS = 0.25


def poll_seconds(database: Database) -> float | None:
    """How often to look for changes that other processes commit; None if no other process can open the database.

    A look costs one query by an index. NOTIFY would make all commits of the whole server wait for each other, and
    LISTEN needs a connection that no pool between us and the server may share.
    """
    return None if database.dialect == "sqlite" else _POLL_SECONDS


def serve_changes(
    database: Database,
    log: ChangeLog[K],
    cursors: CursorTable,
    rules: ChangeLogSettings,
    now: Callable[[], datetime],
    *,
    in_repository: InRepository[K] | None = None,
) -> ChangeServing[K]:
    """What a servicer of a ChangeService needs, on a database.

    Args:
        database: of the service.
        log: the log in it.
        cursors: the table of its cursors.
        rules: how long changes are kept.
        now: the present time.
        in_repository: see `ChangeServing`.
    """
    store = SqlChanges(database, log, cursors)
    feed = ChangeFeed(store, poll_seconds=poll_seconds(database))
    return ChangeServing(store, feed, log.kinds, rules, now, in_repository)


class SqlChanges(Generic[K]):
    """The log of one database."""

    def __init__(self, database: Database, log: ChangeLog[K], cursors: CursorTable) -> None:
        """Takes the database, and the tables in it."""
        self._database = database
        self._log = log
        self._cursors = cursors

    async def state(self) -> LogState:
        """See the port."""
        async with self._database.read() as conn:
            return await self._log.read_state(conn)

    async def read(self, after: LogPosition, *, limit: int = 0, wanted: ChangeFilter[K] | None = None) -> ChangePage[K]:
        """See the port."""
        async with self._database.read() as conn:
            return await self._log.read(conn, after, limit=limit, wanted=wanted)

    async def time_of(self, revision: int) -> datetime | None:
        """See the port."""
        async with self._database.read() as conn:
            return await self._log.time_of(conn, revision)

    async def delete_up_to(self, revision: int) -> int:
        """See the port."""
        async with self._database.write() as conn:
            deleted = await self._log.compact(conn, revision)
            await conn.commit()
        return deleted

    async def cursors(self) -> list[Cursor]:
        """See the port."""
        async with self._database.read() as conn:
            return await self._cursors.all(conn)

    async def cursor(self, name: str) -> Cursor | None:
        """See the port."""
        async with self._database.read() as conn:
            return await self._cursors.get(conn, name)

    async def put_cursor(self, cursor: Cursor) -> Cursor:
        """See the port."""
        async with self._database.write() as conn:
            (await self._log.read_state(conn)).check(cursor.position)
            put = await self._cursors.put(conn, cursor)
            await conn.commit()
        return put

    async def delete_cursor(self, name: str) -> bool:
        """See the port."""
        async with self._database.write() as conn:
            removed = await self._cursors.remove(conn, name)
            await conn.commit()
        return removed
