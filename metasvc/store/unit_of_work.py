"""Units of work on a database, and the change log that their commits write.

The change log: `commit` takes one advisory transaction lock last, counts its revisions from the newest row, writes and
commits. So the order of revisions is the order of commits, and whoever has read up to a revision has missed nothing.
(A sequence hands out numbers that commit in another order; a snapshot's xmin holds readers back behind any long
transaction.)
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import func, insert, select

from metasvc.store.artifact import SqlArtifacts
from metasvc.store.blob import SqlBlobs
from metasvc.store.lists import SqlLists
from metasvc.store.project import SqlProjects
from metasvc.store.repository import SqlRepositories
from metasvc.store.review import SqlReviews
from metasvc.store.tables import change as change_table
from metasvc.store.tables import tag_history
from metasvc.store.tag import SqlTags
from svckit.sql.errors import retry_conflicts
from svckit.sql.statements import advisory_xact_lock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.model import Change, TagMove
    from svckit.sql.database import Database

T = TypeVar("T")

CHANGE_LOG_LOCK = "change log"

_NEWEST = select(func.coalesce(func.max(change_table.c.revision), 0))
_ADD_CHANGES = insert(change_table)
_ADD_MOVES = insert(tag_history)


class SqlUnit:
    """A unit that reads. See `domain.ports.Unit`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    @property
    def projects(self) -> SqlProjects:
        """Projects."""
        return SqlProjects(self._conn)

    @property
    def repositories(self) -> SqlRepositories:
        """Repositories."""
        return SqlRepositories(self._conn)

    @property
    def artifacts(self) -> SqlArtifacts:
        """Artifacts."""
        return SqlArtifacts(self._conn)

    @property
    def tags(self) -> SqlTags:
        """Tags."""
        return SqlTags(self._conn)

    @property
    def blobs(self) -> SqlBlobs:
        """Blobs and links."""
        return SqlBlobs(self._conn)

    @property
    def reviews(self) -> SqlReviews:
        """The collector's queue."""
        return SqlReviews(self._conn)


class SqlUnitOfWork(SqlUnit):
    """A unit that writes. See `domain.ports.UnitOfWork`."""

    def __init__(self, conn: AsyncConnection) -> None:
        super().__init__(conn)
        self._recorded: list[tuple[Change, TagMove | None]] = []

    def record(self, change: Change, move: TagMove | None = None) -> None:
        """See `domain.ports.UnitOfWork.record`."""
        self._recorded.append((change, move))

    async def commit(self) -> int | None:
        """See `domain.ports.UnitOfWork.commit`."""
        revision = await self._write_log() if self._recorded else None
        await self._conn.commit()
        return revision

    async def _write_log(self) -> int:
        # Last of all locks: whoever waits here holds everything else that it needs, and the wait is one commit long.
        await advisory_xact_lock(self._conn, CHANGE_LOG_LOCK)
        # A statement of its own, after the lock was granted, so that it sees what the last holder committed.
        newest: int = await self._conn.scalar(_NEWEST) or 0
        changes = []
        moves = []
        for revision, (change, move) in enumerate(self._recorded, start=newest + 1):
            changes.append(
                {
                    "revision": revision,
                    "kind": change.kind,
                    "project_id": change.project_id,
                    "repository": change.repository,
                    "reference": change.reference,
                    "digest": change.digest,
                    "actor": change.actor,
                    "time": change.time,
                }
            )
            if move is not None:
                moves.append(
                    {
                        "repository_id": move.repository_id,
                        "name": move.name,
                        "revision": revision,
                        "digest": move.digest,
                        "previous_digest": move.previous_digest,
                        "actor": change.actor,
                        "move_time": change.time,
                    }
                )
        await self._conn.execute(_ADD_CHANGES, changes)
        if moves:
            await self._conn.execute(_ADD_MOVES, moves)
        self._recorded.clear()
        return newest + len(changes)


class SqlStore:
    """Gives out units on one database. See `domain.ports.Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[SqlUnit]:
        """See `domain.ports.Store.read`."""
        async with self._database.read(snapshot=snapshot) as conn:
            yield SqlUnit(conn)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        """See `domain.ports.Store.write`."""
        async with self._database.write() as conn:
            yield SqlUnitOfWork(conn)

    @asynccontextmanager
    async def lists(self) -> AsyncIterator[SqlLists]:
        """See `domain.ports.Store.lists`."""
        async with self._database.read(snapshot=True) as conn:
            yield SqlLists(conn)

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """See `domain.ports.Store.repeat`. Gives up after a few times, with UNAVAILABLE."""
        return await retry_conflicts(work)
