"""The change log of a service: the changes of its units of work, in the order of their commits.

    CHANGES = ChangeLog(metadata, ChangeKind)               # in the service's store/tables.py

    async def commit(self) -> int | None:                   # in the service's unit of work, as its last statement
        revision = await CHANGES.append(self._conn, self._recorded) if self._recorded else None
        await self._conn.commit()
        return revision

`append` takes one advisory transaction lock, counts its revisions from the newest row, and writes. The lock is held
until the commit, so the order of revisions is the order of commits. A reader that has read a revision has not missed an
earlier one. (With a sequence, numbers can be committed in another order. With a snapshot's xmin, readers would have to
wait for every long transaction. See decision 0005.)

The epoch is new after each restore from a backup, because lost revisions are then used again for other changes. A
reader states the epoch of its revision. It is refused if the epoch has changed, or if the changes after its revision
were deleted by compaction. Then it must read everything again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from svckit.access.actor import ChangeOrigin
from svckit.change import Change, ChangeFilter, ChangePage, CommittedChange, K, LogPosition, LogState, byte_estimate
from svckit.paging import clamp_page_size
from svckit.sql.actor import actor_columns, actor_values, to_actor
from svckit.sql.database import run_short
from svckit.sql.errors import WriteConflictError
from svckit.sql.statements import advisory_xact_lock
from svckit.sql.types import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, ScalarSelect, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

MAXIMUM_PAGE_SIZE = 1000

_LOCK = "change log"
# How far a page looks for changes that match.
_WINDOW = 10_000
# A page ends when it has so many bytes, so that many slow readers hold little memory.
_PAGE_BYTES = 512 * 1024
_KIND_CHARACTERS = 32


def new_epoch() -> str:
    """A new, unique epoch."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Watch:
    """A value in the database that writes rely on. `ChangeLog.watch` makes it."""

    query: Select[tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A value that a unit of work has read, and that must be the same when it commits.

    Attributes:
        watch: the value.
        parameters: the parameters of its query.
        value: what the unit has read.
    """

    watch: Watch
    parameters: Mapping[str, object]
    value: object


class ChangeLog(Generic[K]):
    """The change log of one service.

    Attributes:
        kinds: all its kinds of change.
        changes: the table of changes.
        state: the table of the log's epoch, with one row.
    """

    def __init__(self, metadata: MetaData, kinds: type[K]) -> None:
        """Adds the tables to a service's tables. The service's migrations must make them and insert the row of `state`.

        Args:
            metadata: the service's tables.
            kinds: all kinds of change of the service.

        Raises:
            ValueError: the name of a kind is longer than its column.
        """
        if too_long := [kind for kind in kinds if len(kind) > _KIND_CHARACTERS]:
            raise ValueError(f"kinds of change have {_KIND_CHARACTERS} characters at most: {too_long}")
        self.kinds = kinds
        self.changes = _change_table(metadata)
        self.state = _state_table(metadata)
        # After a compaction, the newest row may be deleted as well.
        newest = func.coalesce(select(func.max(self.changes.c.revision)).scalar_subquery(), self.state.c.compacted_to)
        self._newest = select(newest)
        self._add = insert(self.changes)
        self._state = select(self.state.c.epoch, self.state.c.compacted_to, newest.label("newest"))
        self._page = self._state.add_columns(*self.changes.c).select_from(self.state)

    def watch(self, value: ScalarSelect[Any]) -> Watch:
        """Makes a value one that `append` can compare, without a further statement.

        Each unit that changes the value must append to the log.
        """
        return Watch(self._newest.add_columns(value.label("watched")))

    async def append(
        self, conn: AsyncConnection, changes: Sequence[Change[K]], unchanged: Unchanged | None = None
    ) -> int:
        """Writes changes. This must be the last statement of a unit of work before its commit.

        Args:
            conn: the connection of the unit of work.
            changes: at least one change.
            unchanged: what the unit relies on without a lock; None for nothing.

        Returns:
            The revision of the last change. The others have the revisions directly before it.

        Raises:
            TypeError: a change has a kind that this log does not have.
            WriteConflictError: another unit has changed the value on which this one relies.
        """
        # The unit already holds all other locks that it needs, so it waits here for one commit at most.
        await advisory_xact_lock(conn, _LOCK)
        # This is a separate statement after the lock, so that it sees the commit of the lock's last holder.
        if unchanged is None:
            ((newest,),) = await run_short(conn, self._newest, {})
        else:
            ((newest, value),) = await run_short(conn, unchanged.watch.query, unchanged.parameters)
            if value != unchanged.value:
                raise WriteConflictError
        rows = [self._to_row(revision, change) for revision, change in enumerate(changes, start=newest + 1)]
        await run_short(conn, self._add, rows)
        return int(newest) + len(rows)

    async def read_state(self, conn: AsyncConnection) -> LogState:
        """The state of the log."""
        (row,) = await run_short(conn, self._state, {})
        return _to_state(row)

    async def position(self, conn: AsyncConnection) -> LogPosition:
        """The newest position of the log. A new reader takes it before it reads the existing data."""
        return (await self.read_state(conn)).position

    async def read(
        self, conn: AsyncConnection, after: LogPosition, *, limit: int = 0, wanted: ChangeFilter[K] | None = None
    ) -> ChangePage[K]:
        """Reads the changes after a position, oldest first. A page may have none although there are more.

        Args:
            conn: the connection of a reading or writing unit.
            after: the position of the last page, or the position to begin at.
            limit: the most changes; 0 means `MAXIMUM_PAGE_SIZE`, which is also the limit.
            wanted: which changes; None for all.

        Raises:
            DomainError: EPOCH_MISMATCH if the log was restored from a backup; REVISION_COMPACTED if changes after the
                position were deleted; REVISION_AHEAD if the log has no such revision yet.
        """
        size = clamp_page_size(limit, MAXIMUM_PAGE_SIZE, MAXIMUM_PAGE_SIZE)
        # Without the upper bound, a reader of what is rare would have the database walk through the whole log at once.
        window_end = after.revision + _WINDOW
        revision = self.changes.c.revision
        matching = [revision > bindparam("after"), revision <= bindparam("window_end")]
        if wanted is not None:
            matching += self._conditions(wanted)
        # Rows and state are read by one statement, so that they are of the same moment. Between two statements, a
        # compaction could delete rows or a commit could add some, and it would not be noticed.
        query = self._page.outerjoin(self.changes, and_(*matching)).order_by(revision).limit(size)
        rows = (await conn.execute(query, {"after": after.revision, "window_end": window_end})).all()
        state = _to_state(rows[0])
        state.check(after)
        changes: list[CommittedChange[K]] = []
        read_bytes = 0
        for row in rows:
            if row.revision is None:
                break
            if read_bytes > _PAGE_BYTES:
                return _page(changes, changes[-1].revision, state)
            changes.append(self._from_row(row))
            read_bytes += byte_estimate(changes[-1])
        read_to = changes[-1].revision if len(changes) == size else min(state.newest, window_end)
        return _page(changes, read_to, state)

    async def time_of(self, conn: AsyncConnection, revision: int) -> datetime | None:
        """When the change with this revision was made; None if there is none."""
        query = select(self.changes.c.time).where(self.changes.c.revision == revision)
        return (await conn.execute(query)).scalar_one_or_none()

    async def compact(self, conn: AsyncConnection, revision: int) -> int:
        """Deletes all changes up to a revision. Readers that have not read up to it are refused from then on.

        It does not wait for units that append, and they do not wait for it. Give it few changes at a time.

        Returns:
            How many changes were deleted.
        """
        # If no row is left, new revisions are counted from `compacted_to`. So it must not exceed the newest revision.
        # Revisions that are committed after this statement are higher.
        to = min(revision, (await conn.execute(self._newest)).scalar_one())
        # First the row of the state, which two compactions at the same time would both lock.
        await conn.execute(update(self.state).where(self.state.c.compacted_to < to).values(compacted_to=to))
        return (await conn.execute(delete(self.changes).where(self.changes.c.revision <= to))).rowcount

    async def renew_epoch(self, conn: AsyncConnection) -> str:
        """Begins a new epoch. Call this after a restore from a backup, before the service starts."""
        epoch = new_epoch()
        await conn.execute(update(self.state).values(epoch=epoch))
        return epoch

    def _conditions(self, wanted: ChangeFilter[K]) -> list[ColumnElement[bool]]:
        changes = self.changes.c
        conditions: list[ColumnElement[bool]] = []
        if wanted.kinds is not None:
            conditions.append(changes.kind.in_(sorted(kind.value for kind in wanted.kinds)))
        if wanted.project_id is not None:
            conditions.append(changes.project_id == wanted.project_id)
        if wanted.resource_name is not None:
            conditions.append(changes.resource_name == wanted.resource_name)
        return conditions

    def _to_row(self, revision: int, change: Change[K]) -> dict[str, object]:
        if not isinstance(change.kind, self.kinds):
            raise TypeError(f"{change.kind!r} is not one of {self.kinds.__name__}")
        origin = change.origin
        return {
            "revision": revision,
            "kind": change.kind.value,
            "project_id": change.project_id,
            "resource_id": change.resource_id,
            "resource_name": change.resource_name,
            "reference": change.reference,
            "digest": change.digest,
            **actor_values(origin.actor),
            "request_id": origin.request_id,
            "client_address": origin.client_address,
            "token_id": origin.token_id,
            "time": change.time,
            "old": None if change.old is None else dict(change.old),
            "new": None if change.new is None else dict(change.new),
        }

    def _from_row(self, row: Row[Any]) -> CommittedChange[K]:
        change = Change(
            kind=self.kinds(row.kind),
            origin=ChangeOrigin(to_actor(row), row.request_id, row.client_address, row.token_id),
            time=row.time,
            project_id=row.project_id,
            resource_id=row.resource_id,
            resource_name=row.resource_name,
            reference=row.reference,
            digest=row.digest,
            old=row.old,
            new=row.new,
        )
        return CommittedChange(revision=row.revision, change=change)


def _change_table(metadata: MetaData) -> Table:
    return Table(
        "change",
        metadata,
        Column("revision", BigInteger, primary_key=True, autoincrement=False),
        Column("kind", String(_KIND_CHARACTERS), nullable=False),
        # 0 without a project.
        Column("project_id", BigInteger, nullable=False),
        Column("resource_id", BigInteger, nullable=False),
        Column("resource_name", Text, nullable=False),
        Column("reference", Text, nullable=False),
        Column("digest", Text, nullable=False),
        *actor_columns(),
        Column("request_id", Text, nullable=False),
        Column("client_address", Text, nullable=False),
        # `jti` of the caller's own token.
        Column("token_id", Text, nullable=False),
        Column("time", UtcDateTime, nullable=False),
        # The fields that were set: {name: value}, without secrets.
        Column("old", Json),
        Column("new", Json),
    )


def _state_table(metadata: MetaData) -> Table:
    return Table(
        "change_log",
        metadata,
        # Always 1: the table has one row.
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("epoch", String(32), nullable=False),
        # The changes up to this revision were deleted.
        Column("compacted_to", BigInteger, nullable=False),
        CheckConstraint("id = 1", name="id"),
    )


def _to_state(row: Any) -> LogState:
    return LogState(epoch=row.epoch, newest=row.newest, compacted_to=row.compacted_to)


def _page(changes: Sequence[CommittedChange[K]], read_to: int, state: LogState) -> ChangePage[K]:
    return ChangePage(
        changes=tuple(changes),
        position=LogPosition(epoch=state.epoch, revision=read_to),
        newest=state.newest,
        compacted_to=state.compacted_to,
    )
