"""Compares what projects are charged for with their links and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, bindparam, delete, func, literal_column, select, union_all, update

from metasvc.domain.model import ProjectState
from metasvc.domain.quota_recount_rows import ChargeDifference, ChargeRange, CountedUsage
from metasvc.store.prepared import Prepared
from metasvc.store.project import to_project
from metasvc.store.tables import artifact, blob, project, project_blob, repository, repository_blob
from svckit.sql.database import run_short
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import ReturningInsert

    from metasvc.domain.model import Project

_ID: BindParameter[int] = bindparam("of_project")
_ACTIVE = project.c.state == ProjectState.ACTIVE.value
_NEXT_PROJECT = select(project).where(_ACTIVE, project.c.id > bindparam("after_id")).order_by(project.c.id).limit(1)
_REMAINING = select(func.count()).select_from(project).where(_ACTIVE, project.c.id >= bindparam("from_id"))
_CHARGES_AFTER = (
    select(project_blob.c.digest)
    .where(project_blob.c.project_id == _ID, project_blob.c.digest > bindparam("after"))
    .order_by(project_blob.c.digest)
    .limit(bindparam("at_most"))
)
_RANGE = select(func.count().label("digests"), func.max(_CHARGES_AFTER.subquery().c.digest).label("last"))
_CHARGED_BYTES = (
    select(func.coalesce(func.sum(project_blob.c.size), 0)).where(project_blob.c.project_id == _ID).scalar_subquery()
)
# One statement, so that both are of one state.
_USAGE = select(project.c.used_bytes, _CHARGED_BYTES.label("charged_bytes")).where(project.c.id == _ID)
# FOR NO KEY UPDATE, as a change of the usage takes it.
_LOCK_USAGE = select(project.c.used_bytes).where(project.c.id == _ID).with_for_update(key_share=True)
_SUM = select(_CHARGED_BYTES)
_SET_USAGE = (
    update(project).where(project.c.id == _ID).values(used_bytes=bindparam("used"), update_time=bindparam("now"))
)
_DIGESTS: BindParameter[str] = bindparam("digests", expanding=True)
_SET_CHARGE = (
    update(project_blob)
    .where(project_blob.c.project_id == bindparam("in_project"), project_blob.c.digest == bindparam("of_digest"))
    .values(count=bindparam("new_count"), size=bindparam("new_size"))
)
_REMOVE_CHARGES = delete(project_blob).where(project_blob.c.project_id == _ID, project_blob.c.digest.in_(_DIGESTS))
_NOTHING: ColumnElement[int] = literal_column("0")


@Prepared
def _lock_charges(conn: AsyncConnection) -> ReturningInsert[str, int, int]:
    # A digest that is not charged gets a row without uses. So there is a row to lock, and a push that charges the
    # digest waits for it. It is one statement, because a row that is only found may be gone before it is locked.
    return (
        upsert(conn, project_blob)
        .on_conflict_do_update(
            index_elements=[project_blob.c.project_id, project_blob.c.digest], set_={"count": project_blob.c.count}
        )
        .returning(project_blob.c.digest, project_blob.c.count.label("uses"), project_blob.c.size)
    )


def _differing(in_range: Callable[[ColumnElement[str]], ColumnElement[bool]]) -> Select[Any]:
    """The digests of a range for which charges differ from links and manifests.

    It is one statement, so that all three are of one state.
    """
    charged = _row(project_blob.c.digest, project_blob.c.count, project_blob.c.size, _NOTHING, _NOTHING)
    both = union_all(
        charged.where(project_blob.c.project_id == _ID, in_range(project_blob.c.digest)), *_uses(in_range)
    ).subquery()
    old_count, new_count = func.sum(both.c.old_count), func.sum(both.c.new_count)
    old_size, new_size = func.max(both.c.old_size), func.max(both.c.new_size)
    return (
        _row(both.c.digest, old_count, old_size, new_count, new_size)
        .group_by(both.c.digest)
        .having((old_count != new_count) | (old_size != new_size))
        .order_by(both.c.digest)
        .limit(bindparam("at_most"))
    )


def _uses(in_range: Callable[[ColumnElement[str]], ColumnElement[bool]]) -> Sequence[Select[Any]]:
    # Both by way of the repository, whose indexes find a range of its digests.
    one: ColumnElement[int] = literal_column("1")
    links = (
        _row(repository_blob.c.digest, _NOTHING, _NOTHING, one, blob.c.size)
        .join(repository, repository.c.id == repository_blob.c.repository_id)
        .join(blob, blob.c.digest == repository_blob.c.digest)
        .where(repository.c.project_id == _ID, repository_blob.c.charged, in_range(repository_blob.c.digest))
    )
    manifests = (
        _row(artifact.c.digest, _NOTHING, _NOTHING, one, artifact.c.manifest_size)
        .join(repository, repository.c.id == artifact.c.repository_id)
        .where(repository.c.project_id == _ID, in_range(artifact.c.digest))
    )
    return links, manifests


def _row(digest: ColumnElement[str], *numbers: ColumnElement[int]) -> Select[Any]:
    names = ("old_count", "old_size", "new_count", "new_size")
    columns: Any = [each.label(name) for name, each in zip(names, numbers, strict=True)]
    return select(digest.label("digest"), *columns)


def _in_range(*, ends: bool) -> Callable[[ColumnElement[str]], ColumnElement[bool]]:
    def in_range(digest: ColumnElement[str]) -> ColumnElement[bool]:
        after = digest > bindparam("after")
        return after & (digest <= bindparam("last")) if ends else after

    return in_range


_DIFFERING_UP_TO = _differing(_in_range(ends=True))
_DIFFERING_AFTER = _differing(_in_range(ends=False))
_counted = union_all(*_uses(lambda digest: digest.in_(_DIGESTS))).subquery()
_USES = select(
    _counted.c.digest, func.sum(_counted.c.new_count).label("uses"), func.max(_counted.c.new_size).label("size")
).group_by(_counted.c.digest)


class SqlQuotaRecounts:
    """See `domain.quota_recount.QuotaRecountRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def next_project(self, after_id: int) -> Project | None:
        """See the port."""
        return to_project((await self._conn.execute(_NEXT_PROJECT, {"after_id": after_id})).one_or_none())

    async def remaining(self, from_id: int) -> int:
        """See the port."""
        return int(await self._conn.scalar(_REMAINING, {"from_id": from_id}) or 0)

    async def range_after(self, project_id: int, digest: str, limit: int) -> ChargeRange:
        """See the port."""
        values = {"of_project": project_id, "after": digest, "at_most": limit}
        row = (await self._conn.execute(_RANGE, values)).one()
        return ChargeRange(after=digest, last=row.last if row.digests == limit else None, digest_count=row.digests)

    async def differences(self, project_id: int, charges: ChargeRange, limit: int) -> list[ChargeDifference]:
        """See the port."""
        statement = _DIFFERING_AFTER if charges.last is None else _DIFFERING_UP_TO
        values = {"of_project": project_id, "after": charges.after, "last": charges.last, "at_most": limit}
        return [
            ChargeDifference(
                digest=row.digest,
                # PostgreSQL's sum of bigint is a decimal.
                old_count=int(row.old_count),
                new_count=int(row.new_count),
                old_size=row.old_size,
                new_size=row.new_size,
            )
            for row in await self._conn.execute(statement, values)
        ]

    async def usage(self, project_id: int) -> CountedUsage:
        """See the port."""
        row = (await self._conn.execute(_USAGE, {"of_project": project_id})).one()
        # PostgreSQL's sum of bigint is a decimal.
        return CountedUsage(used_bytes=row.used_bytes, charged_bytes=int(row.charged_bytes))

    async def correct(self, project_id: int, digests: Sequence[str]) -> list[ChargeDifference]:
        """See the port."""
        if not digests:
            return []
        wanted = sorted(digests)
        values = {"of_project": project_id, "digests": wanted}
        rows = [{"project_id": project_id, "digest": digest, "count": 0, "size": 0} for digest in wanted]
        locked = await run_short(self._conn, _lock_charges(self._conn), rows)
        charges = {row.digest: (row.uses, row.size) for row in locked}
        # In a statement of its own, so that it sees the links and manifests of the units that the locks have waited
        # for. Those that come later wait for the locks, and then count their own uses.
        uses = {row.digest: (int(row.uses), row.size) for row in await self._conn.execute(_USES, values)}
        differences = [
            ChargeDifference(
                digest=digest, old_count=old_count, new_count=new_count, old_size=old_size, new_size=new_size
            )
            for digest in wanted
            for (old_count, old_size), (new_count, new_size) in [(charges[digest], uses.get(digest, (0, 0)))]
            if (old_count, old_size) != (new_count, new_size)
        ]
        changed = [
            {
                "in_project": project_id,
                "of_digest": each.digest,
                "new_count": each.new_count,
                "new_size": each.new_size,
            }
            for each in differences
            if each.new_count
        ]
        if changed:
            await self._conn.execute(_SET_CHARGE, changed)
        if unused := [digest for digest in wanted if digest not in uses]:
            await self._conn.execute(_REMOVE_CHARGES, {"of_project": project_id, "digests": unused})
        return differences

    async def correct_usage(self, project_id: int, now: datetime) -> CountedUsage:
        """See the port."""
        used = int(await self._conn.scalar(_LOCK_USAGE, {"of_project": project_id}) or 0)
        # In a statement of its own, so that it sees the charges of the units that the lock has waited for. Those that
        # come later wait for the lock, and then add their own bytes.
        charged = int(await self._conn.scalar(_SUM, {"of_project": project_id}) or 0)
        if used != charged:
            await self._conn.execute(_SET_USAGE, {"of_project": project_id, "used": charged, "now": now})
        return CountedUsage(used_bytes=used, charged_bytes=charged)
