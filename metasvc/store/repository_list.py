"""Lists of repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, ColumnElement, bindparam, func, select, true

from metasvc.store.artifact_condition import LISTED
from metasvc.store.repository import to_repository
from metasvc.store.tables import artifact, repository
from svckit.sql.selection import count_rows, read_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.model import Repository
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": repository.c.id,
    "name": repository.c.name,
    "description": repository.c.description,
    "project_id": repository.c.project_id,
    "creation_time": repository.c.create_time,
    "update_time": repository.c.update_time,
    "pull_count": repository.c.pull_count,
}
_GET = select(repository).where(
    repository.c.name == bindparam("name"), repository.c.project_id == bindparam("project_id")
)
_ARTIFACT_COUNTS = (
    select(artifact.c.repository_id, func.count().label("artifacts"))
    .where(artifact.c.repository_id.in_(bindparam("ids", expanding=True)), LISTED)
    .group_by(artifact.c.repository_id)
)


class SqlRepositoryLists:
    """See `domain.lists.RepositoryLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, project_id: int, name: str) -> Repository | None:
        """See the port."""
        return to_repository((await self._conn.execute(_GET, {"project_id": project_id, "name": name})).one_or_none())

    async def page(self, projects: AbstractSet[int] | None, selection: Selection) -> list[Repository]:
        """See the port."""
        rows = await read_page(self._conn, select(repository).where(_of(projects)), _COLUMNS, selection)
        return [found for row in rows if (found := to_repository(row)) is not None]

    async def count(self, projects: AbstractSet[int] | None, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, select(repository.c.id).where(_of(projects)), _COLUMNS, clauses)

    async def artifact_counts(self, repository_ids: Sequence[int]) -> Mapping[int, int]:
        """See the port."""
        if not repository_ids:
            return {}
        rows = await self._conn.execute(_ARTIFACT_COUNTS, {"ids": list(repository_ids)})
        return {row.repository_id: row.artifacts for row in rows}


def _of(projects: AbstractSet[int] | None) -> ColumnElement[bool]:
    if projects is None:
        return true()
    if len(projects) == 1:
        return repository.c.project_id == next(iter(projects))
    # The ids are literals, because a caller may see more projects than a statement can have parameters.
    ids: BindParameter[int] = bindparam(None, sorted(projects), expanding=True, literal_execute=True)
    return repository.c.project_id.in_(ids)
