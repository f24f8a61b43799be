"""Memberships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.model import Member
from authsvc.store.tables import member, role, user
from svckit.errors import NotFound
from svckit.sql.selection import count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

_ALL = select(member, user.c.username, role.c.name.label("role_name")).select_from(
    member.join(user, user.c.id == member.c.user_id).join(role, role.c.id == member.c.role_id)
)
_GET = _ALL.where(member.c.project_id == bindparam("project_id"), member.c.id == bindparam("member_id"))
_LOCK = _GET.with_for_update(of=member)
_ROLES_OF = (
    select(member.c.project_id, member.c.role_id)
    .select_from(member.join(role, role.c.id == member.c.role_id))
    .where(
        member.c.user_id == bindparam("user_id"),
        member.c.project_id.in_(bindparam("project_ids", expanding=True)),
    )
    .order_by(role.c.rank)
)
_COLUMNS: Columns = {
    "id": member.c.id,
    "project_id": member.c.project_id,
    "entity_name": user.c.username,
}


class SqlMembers:
    """See `domain.ports.MemberRows`."""

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

    async def add(self, project_id: int, user_id: int, role_id: int, now: datetime) -> int | None:
        """See the port."""
        try:
            added: int | None = await self._conn.scalar(
                upsert(self._conn, member)
                .values(project_id=project_id, user_id=user_id, role_id=role_id, version=1, create_time=now)
                .on_conflict_do_nothing()
                .returning(member.c.id)
            )
        except IntegrityError as error:
            raise NotFound(message="the project or the user has just been deleted") from error
        return added

    async def update(self, changed: Member) -> None:
        """See the port."""
        await self._conn.execute(
            update(member).where(member.c.id == changed.id).values(role_id=changed.role_id, version=changed.version)
        )

    async def remove(self, ended: Member) -> None:
        """See the port."""
        await self._conn.execute(delete(member).where(member.c.id == ended.id))

    async def roles_of(self, user_id: int, project_ids: Sequence[int]) -> Mapping[int, tuple[int, ...]]:
        """See the port."""
        if not user_id or not project_ids:
            return {}
        rows = await self._conn.execute(_ROLES_OF, {"user_id": user_id, "project_ids": list(project_ids)})
        roles: dict[int, tuple[int, ...]] = {}
        for project_id, role_id in rows:
            roles[project_id] = (*roles.get(project_id, ()), role_id)
        return roles


def _member(row: Row[Any]) -> Member:
    return Member(
        id=row.id,
        project_id=row.project_id,
        user_id=row.user_id,
        username=row.username,
        role_id=row.role_id,
        role_name=row.role_name,
        version=row.version,
        create_time=row.create_time,
    )
