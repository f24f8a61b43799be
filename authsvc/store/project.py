"""Projects and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.cve_allowlist import NOTHING
from authsvc.domain.model import Project
from authsvc.store.cve_allowlist import SqlCveAllowlists
from authsvc.store.robot_grant import is_given_project
from authsvc.store.tables import member, project, project_setting, user, user_group_member
from svckit.errors import NotFound
from svckit.sql.selection import count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from authsvc.domain.model import Caller
    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

_ALL = select(project, user.c.username.label("owner_name")).select_from(
    project.outerjoin(user, user.c.id == project.c.owner_id)
)
_GET = _ALL.where(project.c.id == bindparam("project_id"))
_BY_NAME = _ALL.where(project.c.name == bindparam("name"))
_LOCK = _GET.with_for_update(of=project)
_SETTINGS = select(project_setting).where(project_setting.c.project_id.in_(bindparam("project_ids", expanding=True)))
_COLUMNS: Columns = {
    "project_id": project.c.id,
    "name": project.c.name,
    "public": project.c.public,
    # A keyset cannot have NULL.
    "owner_name": func.coalesce(user.c.username, ""),
    "creation_time": project.c.create_time,
    "update_time": project.c.update_time,
}


class SqlProjects:
    """See `domain.rows.ProjectRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, project_id: int) -> Project | None:
        """See the port."""
        return await self._one(_GET, {"project_id": project_id})

    async def by_name(self, name: str) -> Project | None:
        """See the port."""
        return await self._one(_BY_NAME, {"name": name})

    async def lock(self, project_id: int) -> Project | None:
        """See the port."""
        return await self._one(_LOCK, {"project_id": project_id})

    async def page(self, caller: Caller | None, selection: Selection) -> list[Project]:
        """See the port."""
        return await self._with_settings(await read_page(self._conn, _visible_to(caller), _COLUMNS, selection))

    async def count(self, caller: Caller | None, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _visible_to(caller), _COLUMNS, clauses)

    async def visible_ids(self, caller: Caller, names: Collection[str]) -> Mapping[str, int]:
        """See the port."""
        query = _visible_to(caller).with_only_columns(project.c.name, project.c.id).where(project.c.name.in_(names))
        return {row.name: row.id for row in await self._conn.execute(query)}

    async def add(
        self,
        *,
        name: str,
        owner_id: int,
        public: bool,
        settings: Mapping[str, str],
        initial_storage_limit_bytes: int,
        now: datetime,
    ) -> int | None:
        """See the port."""
        try:
            added: int | None = await self._conn.scalar(
                upsert(self._conn, project)
                .values(
                    name=name,
                    owner_id=owner_id,
                    public=public,
                    initial_storage_limit_bytes=initial_storage_limit_bytes,
                    version=1,
                    create_time=now,
                    update_time=now,
                )
                .on_conflict_do_nothing()
                .returning(project.c.id)
            )
        except IntegrityError as error:
            raise NotFound("USER_UNKNOWN", "the owner has just been deleted") from error
        if added is not None:
            await self._set(added, settings)
        return added

    async def update(self, changed: Project) -> None:
        """See the port."""
        await self._conn.execute(
            update(project)
            .where(project.c.id == changed.id)
            .values(public=changed.public, version=changed.version, update_time=changed.update_time)
        )
        await self._conn.execute(delete(project_setting).where(project_setting.c.project_id == changed.id))
        await self._set(changed.id, changed.settings)

    async def remove(self, project_id: int) -> None:
        """See the port."""
        await self._conn.execute(delete(project).where(project.c.id == project_id))
        await SqlCveAllowlists(self._conn).remove(project_id)

    async def _set(self, project_id: int, settings: Mapping[str, str]) -> None:
        rows = [{"project_id": project_id, "name": name, "value": value} for name, value in settings.items()]
        if rows:
            await self._conn.execute(insert(project_setting), rows)

    async def _one(self, query: Select[Any], parameters: dict[str, Any]) -> Project | None:
        rows = (await self._conn.execute(query, parameters)).all()
        return next(iter(await self._with_settings(rows)), None)

    async def _with_settings(self, rows: Sequence[Row[Any]]) -> list[Project]:
        settings: dict[int, dict[str, str]] = {row.id: {} for row in rows}
        if settings:
            found = await self._conn.execute(_SETTINGS, {"project_ids": list(settings)})
            for project_id, name, value in found:
                settings[project_id][name] = value
        allowlists = await SqlCveAllowlists(self._conn).of_projects(list(settings))
        return [
            Project(
                id=row.id,
                name=row.name,
                owner_id=row.owner_id or 0,
                owner_name=row.owner_name or "",
                public=row.public,
                initial_storage_limit_bytes=row.initial_storage_limit_bytes,
                version=row.version,
                create_time=row.create_time,
                update_time=row.update_time,
                settings=settings[row.id],
                cve_allowlist=allowlists.get(row.id, NOTHING),
            )
            for row in rows
        ]


def _visible_to(caller: Caller | None) -> Select[Any]:
    """All projects that the caller may see; None for all."""
    if caller is None or caller.is_administrator:
        return _ALL
    ways: list[ColumnElement[bool]] = [project.c.public.is_(True)]
    if caller.kind == "user":
        ways.append(project.c.id.in_(select(member.c.project_id).where(member.c.user_id == caller.id)))
        if caller.in_groups:
            groups = select(user_group_member.c.group_id).where(user_group_member.c.user_id == caller.id)
            ways.append(project.c.id.in_(select(member.c.project_id).where(member.c.group_id.in_(groups))))
    elif caller.kind == "robot":
        ways.append(is_given_project(caller.id))
    return _ALL.where(or_(*ways))
