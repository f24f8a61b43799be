"""Projects: their rows, states and usage."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, Text, bindparam, cast, delete, exists, func, literal, select, update

from metasvc.domain.model import NO_LIMIT, Project, ProjectState, ProjectUsage
from metasvc.store.prepared import Prepared
from metasvc.store.tables import artifact, project, project_blob, repository, repository_blob
from svckit.errors import DomainError
from svckit.sql.database import run_short, run_short_one
from svckit.sql.errors import WriteConflictError
from svckit.sql.statements import batches, upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.dml import ReturningInsert

    from metasvc.domain.model import Charge

_ID: BindParameter[int] = bindparam("project_id")
_DIGESTS: BindParameter[str] = bindparam("digests", expanding=True)

_GET = select(project).where(project.c.id == _ID)
# FOR KEY SHARE: a deletion waits for this lock, but a change of the usage does not.
_LOCK_OPEN = _GET.with_for_update(read=True, key_share=True)
_LOCK_CLOSED = _GET.with_for_update()
_LOCK_NAMED = select(project).where(project.c.name == bindparam("named")).with_for_update()
_FENCE = (
    update(project).where(project.c.id == _ID).values(state=ProjectState.DELETING.value, update_time=bindparam("now"))
)
# This uses no index, because it runs rarely and need not be fast.
_FENCED = (
    select(project.c.id)
    .where(project.c.state == ProjectState.DELETING.value, project.c.update_time < bindparam("fenced_before"))
    .order_by(project.c.id)
)
_REMOVE_CHARGES = delete(project_blob).where(project_blob.c.project_id == _ID)
_HAS_REPOSITORY = select(exists().where(repository.c.project_id == _ID))
# A deleted project gets another name, so that a new project can have the old one. No project name contains "#", so the
# new name is unique.
_FREED_NAME = literal("#") + cast(project.c.id, Text) + "#" + project.c.name
_MARK_DELETED = (
    update(project)
    .where(project.c.id == _ID)
    .values(state=ProjectState.DELETED.value, name=_FREED_NAME, used_bytes=0, update_time=bindparam("now"))
)
_FREE_NAME = (
    update(project)
    .where(project.c.name == bindparam("taken_name"), project.c.id != _ID)
    .values(state=ProjectState.DELETED.value, name=_FREED_NAME)
)
_REPOSITORIES = select(repository.c.project_id, func.count().label("repositories")).group_by(repository.c.project_id)

_USED = project.c.used_bytes
# One statement checks the quota and adds to the usage, so that concurrent pushes cannot exceed the quota.
_CHARGE = (
    update(project)
    .where(
        project.c.id == _ID,
        (project.c.quota_bytes == NO_LIMIT) | (_USED + bindparam("size") <= project.c.quota_bytes),
    )
    .values(used_bytes=_USED + bindparam("size"), update_time=bindparam("now"))
    .returning(project.c.id)
)
# The same without a limit, for as long as quotas are not enforced.
_CHARGE_ANYWAY = (
    update(project)
    .where(project.c.id == _ID)
    .values(used_bytes=_USED + bindparam("size"), update_time=bindparam("now"))
    .returning(project.c.id)
)
_DISCHARGE = (
    update(project)
    .where(project.c.id == _ID)
    .values(used_bytes=_USED - bindparam("size"), update_time=bindparam("now"))
)
_LOCK_CHARGES = (
    select(project_blob.c.digest, project_blob.c.count.label("uses"), project_blob.c.size)
    .where(project_blob.c.project_id == _ID, project_blob.c.digest.in_(_DIGESTS))
    .order_by(project_blob.c.digest)
    .with_for_update()
)
_COUNT_DOWN = (
    update(project_blob)
    .where(project_blob.c.project_id == bindparam("in_project"), project_blob.c.digest == bindparam("of_digest"))
    .values(count=project_blob.c.count - bindparam("uses"))
)
_REMOVE_CHARGE = delete(project_blob).where(
    project_blob.c.project_id == bindparam("in_project"), project_blob.c.digest == bindparam("of_digest")
)
_SET_QUOTA = (
    update(project)
    .where(project.c.id == _ID, project.c.quota_version == bindparam("held_version"))
    .values(quota_bytes=bindparam("limit"), quota_version=project.c.quota_version + 1, update_time=bindparam("now"))
)
# The uses of a repository: each of its charged links and manifests counts once. The digests stay in the database, so
# this works for a hundred thousand of them.
_REPOSITORY: BindParameter[int] = bindparam("in_repository")
_OF_PROJECT = project_blob.c.project_id == bindparam("in_project")
_USED_IN_REPOSITORY = project_blob.c.digest.in_(
    select(repository_blob.c.digest)
    .where(repository_blob.c.repository_id == _REPOSITORY, repository_blob.c.charged)
    .union_all(select(artifact.c.digest).where(artifact.c.repository_id == _REPOSITORY))
)
_USES_IN_REPOSITORY = (
    select(func.count())
    .select_from(repository_blob)
    .where(
        repository_blob.c.repository_id == _REPOSITORY,
        repository_blob.c.digest == project_blob.c.digest,
        repository_blob.c.charged,
    )
    .scalar_subquery()
) + (
    select(func.count())
    .select_from(artifact)
    .where(artifact.c.repository_id == _REPOSITORY, artifact.c.digest == project_blob.c.digest)
    .scalar_subquery()
)
_LOCK_REPOSITORY_CHARGES = select(func.count()).select_from(
    select(project_blob.c.digest)
    .where(_OF_PROJECT, _USED_IN_REPOSITORY)
    .order_by(project_blob.c.digest)
    .with_for_update()
    .subquery()
)
_COUNT_DOWN_REPOSITORY = (
    update(project_blob)
    .where(_OF_PROJECT, _USED_IN_REPOSITORY)
    .values(count=project_blob.c.count - _USES_IN_REPOSITORY)
)
# All rows without uses. Every unit removes its own, so these are from this unit. With a condition on the repository,
# PostgreSQL would choose a nested loop: with 20,000 rows it takes minutes.
_UNUSED = (_OF_PROJECT, project_blob.c.count <= 0)
_FREED = select(func.coalesce(func.sum(project_blob.c.size), 0)).where(*_UNUSED)
_REMOVE_UNUSED = delete(project_blob).where(*_UNUSED)


@Prepared
def _count_up(conn: AsyncConnection) -> ReturningInsert[str, int]:
    insert = upsert(conn, project_blob)
    return insert.on_conflict_do_update(
        index_elements=[project_blob.c.project_id, project_blob.c.digest],
        set_={"count": project_blob.c.count + insert.excluded["count"]},
    ).returning(project_blob.c.digest, project_blob.c.count.label("uses"))


class SqlProjects:
    """See `domain.rows.ProjectRows`."""

    def __init__(
        self, conn: AsyncConnection, *, enforces_quotas: bool = True, seen: Callable[[Row[Any]], None] | None = None
    ) -> None:
        """Takes the connection. `seen` gets the rows that `get` and `lock_open` read."""
        self._conn = conn
        self._enforces_quotas = enforces_quotas
        self._seen = seen

    async def get(self, project_id: int) -> Project | None:
        """See the port."""
        return self._found(await run_short_one(self._conn, _GET, {"project_id": project_id}))

    async def add(self, row: Project) -> None:
        """See the port."""
        statement = upsert(self._conn, project).on_conflict_do_nothing().returning(project.c.id)
        values = {
            "id": row.id,
            "name": row.name,
            "state": row.state.value,
            "quota_bytes": row.quota_bytes,
            "used_bytes": row.used_bytes,
            "create_time": row.create_time,
            "update_time": row.update_time,
        }
        if (await self._conn.execute(statement, values)).one_or_none() is not None:
            return
        # Only if it has no row itself: a project that was deleted, and is added late, must not take the name of the
        # project that has it now.
        if await self.get(row.id) is None:
            await self._conn.execute(_FREE_NAME, {"taken_name": row.name, "project_id": row.id})
            await self._conn.execute(statement, values)

    async def lock_open(self, project_id: int) -> Project | None:
        """See the port."""
        return self._found(await run_short_one(self._conn, _LOCK_OPEN, {"project_id": project_id}))

    async def lock_closed(self, project_id: int) -> Project | None:
        """See the port."""
        return to_project((await self._conn.execute(_LOCK_CLOSED, {"project_id": project_id})).one_or_none())

    async def lock_named(self, name: str) -> Project | None:
        """See the port."""
        return to_project((await self._conn.execute(_LOCK_NAMED, {"named": name})).one_or_none())

    async def fence(self, project_id: int, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(_FENCE, {"project_id": project_id, "now": now})

    async def states(self) -> dict[int, ProjectState]:
        """See the port."""
        rows = await self._conn.execute(select(project.c.id, project.c.state))
        return {row.id: ProjectState(row.state) for row in rows}

    async def fenced(self, before: datetime) -> list[int]:
        """See the port."""
        return list(await self._conn.scalars(_FENCED, {"fenced_before": before}))

    async def mark_deleted(self, project_id: int, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(_REMOVE_CHARGES, {"project_id": project_id})
        await self._conn.execute(_MARK_DELETED, {"project_id": project_id, "now": now})

    async def has_repository(self, project_id: int) -> bool:
        """See the port."""
        return bool(await self._conn.scalar(_HAS_REPOSITORY, {"project_id": project_id}))

    async def usages(self, project_ids: Sequence[int]) -> list[ProjectUsage]:
        """See the port."""
        counted = _REPOSITORIES.where(repository.c.project_id.in_(project_ids)).subquery()
        rows = await self._conn.execute(
            select(
                project.c.id,
                func.coalesce(counted.c.repositories, 0).label("repositories"),
                project.c.used_bytes,
                project.c.quota_bytes,
            )
            .outerjoin(counted, counted.c.project_id == project.c.id)
            .where(project.c.id.in_(project_ids), project.c.state != ProjectState.DELETED.value)
            .order_by(project.c.id)
        )
        return [ProjectUsage(row.id, row.repositories, row.used_bytes, row.quota_bytes) for row in rows]

    async def charge(self, project_id: int, charges: Iterable[Charge], now: datetime) -> None:
        """See the port."""
        held = list(charges)
        uses = Counter(charge.digest for charge in held)
        sizes = {charge.digest: charge.size for charge in held}
        if not uses:
            return
        rows = [
            {"project_id": project_id, "digest": digest, "count": uses[digest], "size": sizes[digest]}
            for digest in sorted(uses)
        ]
        # A concurrent charge of the same digest waits here, and then gets a greater count.
        counted = await run_short(self._conn, _count_up(self._conn), rows)
        needed = sum(sizes[row.digest] for row in counted if row.uses == uses[row.digest])
        if needed == 0:
            return
        charge = _CHARGE if self._enforces_quotas else _CHARGE_ANYWAY
        if not await run_short(self._conn, charge, {"project_id": project_id, "size": needed, "now": now}):
            await self._refuse(project_id, needed)

    async def discharge(self, project_id: int, digests: Iterable[str], now: datetime) -> None:
        """See the port."""
        uses = Counter(digests)
        if not uses:
            return
        freed = 0
        fewer = []
        gone = []
        for batch in batches(sorted(uses)):
            for row in await self._conn.execute(_LOCK_CHARGES, {"project_id": project_id, "digests": batch}):
                key = {"in_project": project_id, "of_digest": row.digest}
                if row.uses > uses[row.digest]:
                    fewer.append({**key, "uses": uses[row.digest]})
                else:
                    gone.append(key)
                    freed += row.size
        if fewer:
            await self._conn.execute(_COUNT_DOWN, fewer)
        if gone:
            await self._conn.execute(_REMOVE_CHARGE, gone)
        if freed:
            await self._conn.execute(_DISCHARGE, {"project_id": project_id, "size": freed, "now": now})

    async def discharge_repository(self, project_id: int, repository_id: int, now: datetime) -> None:
        """See the port."""
        values = {"in_project": project_id, "in_repository": repository_id}
        await self._conn.execute(_LOCK_REPOSITORY_CHARGES, values)
        await self._conn.execute(_COUNT_DOWN_REPOSITORY, values)
        # PostgreSQL's sum of bigint is a decimal.
        freed = int(await self._conn.scalar(_FREED, values) or 0)
        await self._conn.execute(_REMOVE_UNUSED, values)
        if freed:
            await self._conn.execute(_DISCHARGE, {"project_id": project_id, "size": freed, "now": now})

    async def set_quota(self, held: Project, quota_bytes: int, now: datetime) -> None:
        """See the port."""
        values = {"project_id": held.id, "held_version": held.quota_version, "limit": quota_bytes, "now": now}
        if (await self._conn.execute(_SET_QUOTA, values)).rowcount == 0:
            raise WriteConflictError

    def _found(self, row: Row[Any] | None) -> Project | None:
        if row is not None and self._seen is not None:
            self._seen(row)
        return to_project(row)

    async def _refuse(self, project_id: int, needed: int) -> None:
        row = await self.get(project_id)
        if row is None:
            # The project is gone, although the lock should prevent that. The repeated unit finds this out.
            raise WriteConflictError
        raise DomainError(
            "QUOTA_EXCEEDED",
            f"the project's quota of {row.quota_bytes} bytes would be exceeded: "
            f"{row.used_bytes} are used, and {needed} more are needed",
            metadata={
                "limit_bytes": str(row.quota_bytes),
                "used_bytes": str(row.used_bytes),
                "needed_bytes": str(needed),
            },
        )


def to_project(row: Row[Any] | None) -> Project | None:
    """Reads a row of the project table."""
    """Reads a row of the project table."""
    if row is None:
        return None
    return Project(
        id=row.id,
        name=row.name,
        state=ProjectState(row.state),
        quota_bytes=row.quota_bytes,
        used_bytes=row.used_bytes,
        create_time=row.create_time,
        update_time=row.update_time,
        quota_version=row.quota_version,
    )
