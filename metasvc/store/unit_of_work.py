"""Units of work on a database. Their commits write the change log (`svckit.sql.change_log`) and the history of tags."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import insert

from metasvc.store.artifact import SqlArtifacts
from metasvc.store.artifact_copy import SqlCopies
from metasvc.store.blob import SqlBlobs, find_blob, find_linked
from metasvc.store.immutable_rule import SqlImmutableRules
from metasvc.store.label import SqlLabels
from metasvc.store.lists import SqlLists
from metasvc.store.project import SqlProjects
from metasvc.store.quota_recount import SqlQuotaRecounts
from metasvc.store.reads import find_blobs, find_manifests
from metasvc.store.repository import SqlRepositories
from metasvc.store.review import SqlReviews
from metasvc.store.tables import CHANGES, idempotency, tag_history
from metasvc.store.tag import SqlTags
from metasvc.store.tombstone import SqlTombstones
from svckit.sql.actor import actor_values
from svckit.sql.database import run_short
from svckit.sql.errors import retry_conflicts
from svckit.sql.idempotency import SqlIdempotency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.model import Blob, ChangeKind, ServedBlob, StoredManifest, TagMove, WantedBlob, WantedManifest
    from svckit.change import Change
    from svckit.sql.database import Database

T = TypeVar("T")

_ADD_MOVES = insert(tag_history)


class SqlUnit:
    """A unit that reads. See `domain.unit.Unit`."""

    def __init__(self, conn: AsyncConnection, *, enforces_quotas: bool = True) -> None:
        self._conn = conn
        self._enforces_quotas = enforces_quotas
        self._immutable_rules = SqlImmutableRules(conn)

    @property
    def projects(self) -> SqlProjects:
        """Projects."""
        return SqlProjects(self._conn, enforces_quotas=self._enforces_quotas, seen=self._immutable_rules.note_project)

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
    def labels(self) -> SqlLabels:
        """Labels."""
        return SqlLabels(self._conn)

    @property
    def immutable_rules(self) -> SqlImmutableRules:
        """The rules that make tags immutable."""
        return self._immutable_rules

    @property
    def blobs(self) -> SqlBlobs:
        """Blobs and links."""
        return SqlBlobs(self._conn)

    @property
    def copies(self) -> SqlCopies:
        """Copies of artifacts."""
        return SqlCopies(self._conn)

    @property
    def tombstones(self) -> SqlTombstones:
        """Tombstones of generations."""
        return SqlTombstones(self._conn)

    @property
    def reviews(self) -> SqlReviews:
        """The queue of garbage collection."""
        return SqlReviews(self._conn)

    @property
    def recounts(self) -> SqlQuotaRecounts:
        """Recounts of usages."""
        return SqlQuotaRecounts(self._conn)


class SqlUnitOfWork(SqlUnit):
    """A unit that writes. See `domain.unit.UnitOfWork`."""

    def __init__(
        self,
        conn: AsyncConnection,
        idempotency_key_seconds: float,
        on_change: Callable[[], None],
        *,
        enforces_quotas: bool,
    ) -> None:
        super().__init__(conn, enforces_quotas=enforces_quotas)
        self._idempotency_key_seconds = idempotency_key_seconds
        self._on_change = on_change
        self._changes: list[Change[ChangeKind]] = []
        self._moves: list[TagMove | None] = []

    @property
    def idempotency(self) -> SqlIdempotency:
        """The results of first calls with an idempotency key."""
        return SqlIdempotency(self._conn, idempotency, self._idempotency_key_seconds)

    def record(self, change: Change[ChangeKind], move: TagMove | None = None) -> None:
        """See the port."""
        self._changes.append(change)
        self._moves.append(move)

    async def commit(self) -> int | None:
        """See the port."""
        if not self._changes:
            await self._conn.commit()
            return None
        revision = await self._write_log()
        try:
            await self._conn.commit()
        finally:
            # Also if the caller was cancelled meanwhile: the commit has gone on to its end.
            self._on_change()
        return revision

    async def _write_log(self) -> int:
        last = await CHANGES.append(self._conn, self._changes, self._immutable_rules.watched)
        first = last - len(self._changes) + 1
        moves = [
            {
                "repository_id": move.repository_id,
                "name": move.name,
                "revision": revision,
                "digest": move.digest,
                "previous_digest": move.previous_digest,
                **actor_values(change.origin.actor),
                "move_time": change.time,
            }
            for revision, change, move in zip(count(first), self._changes, self._moves, strict=False)
            if move is not None
        ]
        if moves:
            await run_short(self._conn, _ADD_MOVES, moves)
        self._changes.clear()
        self._moves.clear()
        return last


class SqlStore:
    """Gives out units on one database. See `domain.unit.Store`."""

    def __init__(
        self,
        database: Database,
        *,
        idempotency_key_seconds: float,
        enforces_quotas: Callable[[], bool] = lambda: True,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes the database, and settings of the store.

        Args:
            database: open.
            idempotency_key_seconds: how long idempotency keys are remembered.
            enforces_quotas: whether quotas are enforced at the moment. Usages are counted in any case.
            on_change: is called after each commit that has written to the change log.
        """
        self._database = database
        self._enforces_quotas = enforces_quotas
        self._idempotency_key_seconds = idempotency_key_seconds
        self._on_change = on_change

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False, short: bool = False) -> AsyncIterator[SqlUnit]:
        """See `domain.unit.Store.read`."""
        async with self._database.read(snapshot=snapshot, short=short) as conn:
            yield SqlUnit(conn)

    async def find_manifests(
        self, wanted: Sequence[WantedManifest], *, content_bytes: int
    ) -> list[StoredManifest | None]:
        """See `domain.unit.Store.find_manifests`."""
        return await find_manifests(self._database.fetch, self._database.dialect, wanted, content_bytes)

    async def find_served(self, wanted: Sequence[WantedBlob]) -> list[ServedBlob | None]:
        """See `domain.unit.Store.find_served`."""
        return await find_blobs(self._database.fetch, self._database.dialect, wanted)

    async def find_blob(self, digest: str) -> Blob | None:
        """See `domain.unit.Store.find_blob`."""
        return await find_blob(self._database.fetch, digest)

    async def find_linked(self, project_id: int, repository: str, digests: Iterable[str]) -> list[Blob]:
        """See `domain.unit.Store.find_linked`."""
        return await find_linked(self._database.fetch, project_id, repository, digests)

    @asynccontextmanager
    async def write(self, *, short: bool = False) -> AsyncIterator[SqlUnitOfWork]:
        """See `domain.unit.Store.write`."""
        async with self._database.write(short=short) as conn:
            yield SqlUnitOfWork(
                conn, self._idempotency_key_seconds, self._on_change, enforces_quotas=self._enforces_quotas()
            )

    @asynccontextmanager
    async def lists(self) -> AsyncIterator[SqlLists]:
        """See `domain.unit.Store.lists`."""
        async with self._database.read(snapshot=True) as conn:
            yield SqlLists(conn)

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """See `domain.unit.Store.repeat`. Raises UNAVAILABLE after a few conflicts."""
        return await retry_conflicts(work)
