"""User groups, and the users in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.model import GroupMember, UserGroup
from authsvc.store.tables import member, user, user_group, user_group_member
from svckit.errors import NotFound
from svckit.sql.selection import count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from authsvc.domain.model import GroupType
    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

GROUPS_OF_CALLER = select(user_group_member.c.group_id).where(
    user_group_member.c.user_id == bindparam("caller_id", type_=BigInteger)
)
"""The ids of the groups that the user "caller_id" is in, as a part of other queries."""

_ALL = select(user_group)
_GET = _ALL.where(user_group.c.id == bindparam("group_id"))
_LOCK = _GET.with_for_update()
_BY_NAME = _ALL.where(user_group.c.name == bindparam("name"), user_group.c.type == bindparam("type"))
_BY_DN = _ALL.where(user_group.c.ldap_group_dn == bindparam("ldap_group_dn"))
_COLUMNS: Columns = {
    "id": user_group.c.id,
    "group_name": user_group.c.name,
    "group_type": user_group.c.type,
    "ldap_group_dn": user_group.c.ldap_group_dn,
    "creation_time": user_group.c.create_time,
}
_MEMBERS = select(user_group_member, user.c.username).select_from(
    user_group_member.join(user, user.c.id == user_group_member.c.user_id)
)
_MEMBER = _MEMBERS.where(
    user_group_member.c.group_id == bindparam("group_id"), user_group_member.c.user_id == bindparam("user_id")
)
_USER_IDS = select(user_group_member.c.user_id).where(user_group_member.c.group_id == bindparam("group_id"))
_PROJECT_IDS = select(member.c.project_id).where(member.c.group_id == bindparam("group_id"))
_MEMBER_COLUMNS: Columns = {"group_id": user_group_member.c.group_id, "user_id": user_group_member.c.user_id}


class SqlUserGroups:
    """See `domain.account_rows.UserGroupRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, group_id: int) -> UserGroup | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"group_id": group_id})).one_or_none()
        return None if row is None else _group(row)

    async def lock(self, group_id: int) -> UserGroup | None:
        """See the port."""
        row = (await self._conn.execute(_LOCK, {"group_id": group_id})).one_or_none()
        return None if row is None else _group(row)

    async def by_name(self, name: str, group_type: GroupType) -> UserGroup | None:
        """See the port."""
        row = (await self._conn.execute(_BY_NAME, {"name": name, "type": group_type})).one_or_none()
        return None if row is None else _group(row)

    async def by_ldap_group_dn(self, ldap_group_dn: str) -> UserGroup | None:
        """See the port."""
        row = (await self._conn.execute(_BY_DN, {"ldap_group_dn": ldap_group_dn})).one_or_none()
        return None if row is None else _group(row)

    async def page(self, selection: Selection) -> list[UserGroup]:
        """See the port."""
        return [_group(row) for row in await read_page(self._conn, _ALL, _COLUMNS, selection)]

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _ALL, _COLUMNS, clauses)

    async def add(self, *, name: str, group_type: GroupType, ldap_group_dn: str, now: datetime) -> int | None:
        """See the port."""
        added: int | None = await self._conn.scalar(
            upsert(self._conn, user_group)
            .values(
                name=name,
                type=group_type,
                ldap_group_dn=ldap_group_dn or None,
                version=1,
                create_time=now,
                update_time=now,
            )
            .on_conflict_do_nothing()
            .returning(user_group.c.id)
        )
        return added

    async def update(self, changed: UserGroup, now: datetime) -> bool:
        """See the port."""
        try:
            # In a savepoint: after an error, PostgreSQL refuses all further statements of a transaction without one.
            async with self._conn.begin_nested():
                await self._conn.execute(
                    update(user_group)
                    .where(user_group.c.id == changed.id)
                    .values(name=changed.name, version=changed.version, update_time=now)
                )
        except IntegrityError:
            return False
        return True

    async def remove(self, group_id: int) -> None:
        """See the port."""
        await self._conn.execute(delete(user_group).where(user_group.c.id == group_id))

    async def member(self, group_id: int, user_id: int) -> GroupMember | None:
        """See the port."""
        row = (await self._conn.execute(_MEMBER, {"group_id": group_id, "user_id": user_id})).one_or_none()
        return None if row is None else _group_member(row)

    async def member_page(self, selection: Selection) -> list[GroupMember]:
        """See the port."""
        return [_group_member(row) for row in await read_page(self._conn, _MEMBERS, _MEMBER_COLUMNS, selection)]

    async def member_count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _MEMBERS, _MEMBER_COLUMNS, clauses)

    async def add_member(self, group_id: int, user_id: int, now: datetime) -> bool:
        """See the port."""
        try:
            added = await self._conn.scalar(
                upsert(self._conn, user_group_member)
                .values(group_id=group_id, user_id=user_id, create_time=now)
                .on_conflict_do_nothing()
                .returning(user_group_member.c.user_id)
            )
        except IntegrityError as error:
            raise NotFound(message="the group or the user has just been deleted") from error
        return added is not None

    async def remove_member(self, group_id: int, user_id: int) -> bool:
        """See the port."""
        gone = await self._conn.execute(
            delete(user_group_member).where(
                user_group_member.c.group_id == group_id, user_group_member.c.user_id == user_id
            )
        )
        return gone.rowcount > 0

    async def user_ids(self, group_id: int) -> tuple[int, ...]:
        """See the port."""
        return tuple((await self._conn.scalars(_USER_IDS, {"group_id": group_id})).all())

    async def project_ids(self, group_id: int) -> tuple[int, ...]:
        """See the port."""
        return tuple((await self._conn.scalars(_PROJECT_IDS, {"group_id": group_id})).all())


def _group(row: Row[Any]) -> UserGroup:
    return UserGroup(
        id=row.id,
        name=row.name,
        type=row.type,
        ldap_group_dn=row.ldap_group_dn or "",
        version=row.version,
        create_time=row.create_time,
    )


def _group_member(row: Row[Any]) -> GroupMember:
    return GroupMember(group_id=row.group_id, user_id=row.user_id, username=row.username, create_time=row.create_time)
