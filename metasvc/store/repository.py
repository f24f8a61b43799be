"""Repositories."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, bindparam, delete, func, select, update

from metasvc.domain.model import Repository, ReviewKind
from metasvc.store.prepared import Prepared
from metasvc.store.tables import artifact, artifact_reference, repository, review, tag
from svckit.errors import Conflict
from svckit.sql.database import run_short, run_short_one
from svckit.sql.errors import WriteConflictError
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Insert, Row
    from sqlalchemy.ext.asyncio import AsyncConnection

# The update time is written at most once per second. Otherwise concurrent pushes into one repository would wait for
# each other, only to write nearly the same time.
TOUCH_EVERY = timedelta(seconds=1)

_GET = select(repository).where(
    repository.c.name == bindparam("name"), repository.c.project_id == bindparam("project_id")
)
# FOR KEY SHARE: a delete waits for this lock, but other pushes do not.
_LOCK_OPEN = _GET.with_for_update(read=True, key_share=True)
_LOCK_FOR_DELETE = _GET.with_for_update()
# The recorder of pulls updates artifacts and tags in the orders of `store/tables.py`, without a lock of the repository.
# A delete locks the rows in the same orders. Otherwise the two could deadlock.
_IN_REPOSITORY: BindParameter[int] = bindparam("repository_id")
_LOCK_ARTIFACTS = select(func.count()).select_from(
    select(artifact.c.id)
    .where(artifact.c.repository_id == _IN_REPOSITORY)
    .order_by(artifact.c.id)
    .with_for_update()
    .subquery()
)
_LOCK_TAGS = select(func.count()).select_from(
    select(tag.c.id).where(tag.c.repository_id == _IN_REPOSITORY).order_by(tag.c.name).with_for_update().subquery()
)
_ARTIFACTS = select(artifact.c.id).where(artifact.c.repository_id == _IN_REPOSITORY)
_REMOVE_REVIEWS = delete(review).where(
    review.c.kind == ReviewKind.MANIFEST.value,
    review.c.digest.in_(select(artifact.c.digest).where(artifact.c.repository_id == _IN_REPOSITORY)),
    review.c.repository_id == _IN_REPOSITORY,
)
# References have no ON DELETE CASCADE for children, because a child must stay as long as an index names it. So they are
# removed first.
_REMOVE_REFERENCES = delete(artifact_reference).where(artifact_reference.c.parent_id.in_(_ARTIFACTS))
_REMOVE = delete(repository).where(repository.c.id == _IN_REPOSITORY)
_DESCRIBE = (
    update(repository)
    .where(repository.c.id == bindparam("of_repository"), repository.c.version == bindparam("held_version"))
    .values(description=bindparam("text"), version=repository.c.version + 1, update_time=bindparam("now"))
)
_TOUCH = (
    update(repository)
    .where(repository.c.id == bindparam("repository_id"), repository.c.update_time < bindparam("before"))
    .values(update_time=bindparam("now"))
)
_COUNT_PULLS = (
    update(repository)
    .where(repository.c.id == bindparam("repository_id"))
    .values(pull_count=repository.c.pull_count + bindparam("pulls"))
)
_CATALOG = (
    select(repository.c.name)
    .where(repository.c.name > bindparam("start_after"))
    .order_by(repository.c.name)
    .limit(bindparam("most"))
)


@Prepared
def _add(conn: AsyncConnection) -> Insert:
    return upsert(conn, repository).on_conflict_do_nothing(index_elements=[repository.c.name])


class SqlRepositories:
    """See `domain.rows.RepositoryRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, project_id: int, name: str) -> Repository | None:
        """See the port."""
        return to_repository((await self._conn.execute(_GET, {"project_id": project_id, "name": name})).one_or_none())

    async def lock_open(self, project_id: int, name: str) -> Repository | None:
        """See the port."""
        return to_repository(await run_short_one(self._conn, _LOCK_OPEN, {"project_id": project_id, "name": name}))

    async def ensure(self, project_id: int, name: str, now: datetime) -> Repository:
        """See the port."""
        found = await self.lock_open(project_id, name)
        if found is not None:
            return found
        # If another unit creates the same repository now, this waits for its commit, and `lock_open` finds the row.
        await run_short(
            self._conn,
            _add(self._conn),
            {
                "name": name,
                "project_id": project_id,
                "description": "",
                "pull_count": 0,
                "create_time": now,
                "update_time": now,
            },
        )
        made = await self.lock_open(project_id, name)
        if made is None:
            raise Conflict("CONFLICT", f"repository {name} belongs to a project that was deleted")
        return made

    async def lock_for_delete(self, project_id: int, name: str) -> Repository | None:
        """See the port."""
        result = await self._conn.execute(_LOCK_FOR_DELETE, {"project_id": project_id, "name": name})
        found = to_repository(result.one_or_none())
        if found is not None:
            for lock in (_LOCK_ARTIFACTS, _LOCK_TAGS):
                await self._conn.execute(lock, {"repository_id": found.id})
        return found

    async def remove(self, repository_id: int) -> None:
        """See the port. ON DELETE CASCADE removes the other rows."""
        for statement in (_REMOVE_REVIEWS, _REMOVE_REFERENCES, _REMOVE):
            await self._conn.execute(statement, {"repository_id": repository_id})

    async def describe(self, held: Repository, description: str, now: datetime) -> None:
        """See the port."""
        values = {"of_repository": held.id, "held_version": held.version, "text": description, "now": now}
        if (await self._conn.execute(_DESCRIBE, values)).rowcount == 0:
            raise WriteConflictError

    async def touch(self, repository_id: int, now: datetime) -> None:
        """See the port."""
        values = {"repository_id": repository_id, "now": now, "before": now - TOUCH_EVERY}
        await run_short(self._conn, _TOUCH, values)

    async def count_pulls(self, pulls: Mapping[int, int]) -> None:
        """See the port."""
        if pulls:
            await self._conn.execute(
                _COUNT_PULLS, [{"repository_id": key, "pulls": pulls[key]} for key in sorted(pulls)]
            )

    async def catalog(self, start_after: str, limit: int) -> list[str]:
        """See the port."""
        result = await self._conn.scalars(_CATALOG, {"start_after": start_after, "most": limit})
        return list(result)


def to_repository(row: Row[Any] | None) -> Repository | None:
    """Reads a row of the repository table."""
    if row is None:
        return None
    return Repository(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        pull_count=row.pull_count,
        create_time=row.create_time,
        update_time=row.update_time,
        version=row.version,
    )
