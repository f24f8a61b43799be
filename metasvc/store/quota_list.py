"""Lists of quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, select

from metasvc.domain.model import ProjectState
from metasvc.store.project import to_project
from metasvc.store.tables import project
from svckit.sql.selection import count_rows, read_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.model import Project
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": project.c.id,
    "used.storage": project.c.used_bytes,
    "hard.storage": project.c.quota_bytes,
    "creation_time": project.c.create_time,
    "update_time": project.c.update_time,
}
# Without projects that are being deleted or were deleted, because nobody can use their quotas.
_QUOTAS = select(project).where(project.c.state == ProjectState.ACTIVE.value)


class SqlQuotaLists:
    """See `domain.lists.QuotaLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def page(self, project_id: int | None, selection: Selection) -> list[Project]:
        """See the port."""
        rows = await read_page(self._conn, _quotas(project_id), _COLUMNS, selection)
        return [found for row in rows if (found := to_project(row)) is not None]

    async def count(self, project_id: int | None, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _quotas(project_id), _COLUMNS, clauses)


def _quotas(project_id: int | None) -> Select[Any]:
    return _QUOTAS if project_id is None else _QUOTAS.where(project.c.id == project_id)
