"""Memberships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, func, select, union, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.model import Entity, Member
from authsvc.store.tables import member, role, user, user_group
from authsvc.store.user_group import GROUPS_OF_CALLER
from svckit.errors import NotFound
from svckit.sql.selection import count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from authsvc.domain.model import Caller
    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

_ALL = select(
    member,
    # A membership is a user's or a group's; the other name is NULL.
    func.coalesce(user.c.username, user_group.c.name).label("entity_name"),
    role.c.name.label("role_name"),
).select_from(
    member.join(role, role.c.id == member.c.role_id)
    .outerjoin(user, user.c.id == member.c.user_id)
    .outerjoin(user_group, user_group.c.id == member.c.group_id)
)
_GET = _ALL.where(member.c.project_id == bindparam("project_id"), member.c.id == bindparam("member_id"))
_LOCK = _GET.with_for_update(of=member)


def _roles_by(way: ColumnElement[bool]) -> Select[Any]:
    return (
        select(member.c.project_id, member.c.role_id, role.c.rank)
        .select_from(member.join(role, role.c.id == member.c.role_id))
        .where(way, member.c.project_id.in_(bindparam("project_ids", expanding=True)))
    )


_OWN_ROLES = _roles_by(member.c.user_id == bindparam("caller_id"))
# Two parts rather than an OR, so that each is read by its own index. A role that both give comes once.
_ROLES_OF = _OWN_ROLES.order_by(role.c.rank)
_ROLES_WITH_GROUPS = union(_OWN_ROLES, _roles_by(member.c.group_id.in_(GROUPS_OF_CALLER))).order_by("rank")
_COLUMNS: Columns = {
    "id": member.c.id,
    "project_id": member.c.project_id,
    "role_id": member.c.role_id,
    "entity_name": func.coalesce(user.c.username, user_group.c.name),
    "entity_id": func.coalesce(member.c.user_id, member.c.group_id),
    "entity_type": case((member.c.group_id.is_(None), "u"), else_="g"),
}


class SqlMembers:
    """See `domain.rows.MemberRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, project_id: int, member_id: int) -> Member | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"project_id": project_id, "member_id": member_id})).one_or_none()
        return None if row is None else _member(row)

    async def lock(self, project_id: int, member_id: int) -> Member | None:
        """See the port."""
        row = (await self._conn.execute(_LOCK, {"project_id": project_id, "member_id": member_id})).one_or_none()
        return None if row is None else _member(row)

    async def page(self, selection: Selection) -> list[Member]:
        """See the port."""
        return [_member(row) for row in await read_page(self._conn, _ALL, _COLUMNS, selection)]

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _ALL, _COLUMNS, clauses)

    async def add(self, project_id: int, entity: Entity, role_id: int, now: datetime) -> int | None:
        """See the port."""
        try:
            added: int | None = await self._conn.scalar(
                upsert(self._conn, member)
                .values(
                    project_id=project_id,
                    user_id=entity.id if entity.kind == "user" else None,
                    group_id=entity.id if entity.kind == "group" else None,
                    role_id=role_id,
                    version=1,
                    create_time=now,
                )
                .on_conflict_do_nothing()
                .returning(member.c.id)
            )
        except IntegrityError as error:
            raise NotFound(message="the project, the user or the group has just been deleted") from error
        return added

    async def update(self, changed: Member) -> None:
        """See the port."""
        await self._conn.execute(
            update(member).where(member.c.id == changed.id).values(role_id=changed.role_id, version=changed.version)
        )

    async def remove(self, ended: Member) -> None:
        """See the port."""
        await self._conn.execute(delete(member).where(member.c.id == ended.id))

    async def roles_of(self, caller: Caller, project_ids: Sequence[int]) -> Mapping[int, tuple[int, ...]]:
        """See the port."""
        if caller.kind != "user" or not project_ids:
            return {}
        query = _ROLES_WITH_GROUPS if caller.in_groups else _ROLES_OF
        rows = await self._conn.execute(query, {"caller_id": caller.id, "project_ids": list(project_ids)})
        roles: dict[int, tuple[int, ...]] = {}
        for project_id, role_id, _ in rows:
            roles[project_id] = (*roles.get(project_id, ()), role_id)
        return roles


def _member(row: Row[Any]) -> Member:
    return Member(
        id=row.id,
        project_id=row.project_id,
        entity=Entity("user", row.user_id) if row.group_id is None else Entity("group", row.group_id),
        entity_name=row.entity_name,
        role_id=row.role_id,
        role_name=row.role_name,
        version=row.version,
        create_time=row.create_time,
    )
