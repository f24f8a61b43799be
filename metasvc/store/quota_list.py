"""Quotas in lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, select

from metasvc.domain.model import ProjectState
from metasvc.store.project import to_project
from metasvc.store.selected import selected
from metasvc.store.tables import project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from metasvc.domain.model import Project
    from svckit.listing import Selection

_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": project.c.id,
    "used.storage": project.c.used_bytes,
    "hard.storage": project.c.quota_bytes,
    "creation_time": project.c.create_time,
}
# What is being deleted, or was, has no quota that anybody could use.
_ALIVE = (project.c.state == ProjectState.ACTIVE.value,)


class SqlQuotaLists:
    """See `domain.lists.QuotaLists`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def page(self, project_id: int | None, selection: Selection) -> list[Project]:
        """See the port."""
        query = selected(select(project).where(*_conditions(project_id)), selection, _COLUMNS)
        return [found for row in await self._conn.execute(query) if (found := to_project(row)) is not None]

    async def count(self, project_id: int | None) -> int:
        """See the port."""
        query = select(func.count()).select_from(project).where(*_conditions(project_id))
        return await self._conn.scalar(query) or 0


def _conditions(project_id: int | None) -> list[ColumnElement[bool]]:
    return [*_ALIVE] if project_id is None else [*_ALIVE, project.c.id == project_id]
