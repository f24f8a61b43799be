"""Users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.model import User
from authsvc.store.listing import count_rows, read_page
from authsvc.store.tables import user
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

_SHOWN = (
    user.c.id,
    user.c.username,
    user.c.email,
    user.c.realname,
    user.c.comment,
    user.c.is_administrator,
    user.c.disabled,
    user.c.create_time,
    user.c.update_time,
)
_ALL: Select[Any] = select(*_SHOWN)
_GET = _ALL.where(user.c.id == bindparam("user_id"))
_BY_NAME = _ALL.where(user.c.username == bindparam("username"))
_CREDENTIALS: Select[Any] = select(*_SHOWN, user.c.password_hash).where(user.c.username == bindparam("username"))
_LOCK_ADMINISTRATORS = (
    select(user.c.id)
    .where(user.c.is_administrator.is_(True), user.c.disabled.is_(False))
    .order_by(user.c.id)
    .with_for_update()
)
_COLUMNS: Columns = {
    "user_id": user.c.id,
    "username": user.c.username,
    "email": user.c.email,
    "creation_time": user.c.create_time,
}


class SqlUsers:
    """See `domain.ports.UserRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, user_id: int) -> User | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"user_id": user_id})).one_or_none()
        return None if row is None else _user(row)

    async def by_name(self, username: str) -> User | None:
        """See the port."""
        row = (await self._conn.execute(_BY_NAME, {"username": username})).one_or_none()
        return None if row is None else _user(row)

    async def credentials(self, username: str) -> tuple[User, str] | None:
        """See the port."""
        row = (await self._conn.execute(_CREDENTIALS, {"username": username})).one_or_none()
        return None if row is None else (_user(row), row.password_hash)

    async def page(self, selection: Selection) -> list[User]:
        """See the port."""
        return [_user(row) for row in await read_page(self._conn, _ALL, _COLUMNS, selection)]

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _ALL, _COLUMNS, clauses)

    async def add(
        self,
        *,
        username: str,
        email: str,
        realname: str,
        comment: str,
        password_hash: str,
        is_administrator: bool,
        now: datetime,
    ) -> int | None:
        """See the port."""
        added: int | None = await self._conn.scalar(
            upsert(self._conn, user)
            .values(
                username=username,
                email=email or None,
                realname=realname,
                comment=comment,
                password_hash=password_hash,
                is_administrator=is_administrator,
                disabled=False,
                create_time=now,
                update_time=now,
            )
            .on_conflict_do_nothing()
            .returning(user.c.id)
        )
        return added

    async def update_profile(
        self, user_id: int, email: str | None, realname: str | None, comment: str | None, now: datetime
    ) -> bool:
        """See the port."""
        values: dict[str, Any] = {"update_time": now}
        if email is not None:
            values["email"] = email or None
        if realname is not None:
            values["realname"] = realname
        if comment is not None:
            values["comment"] = comment
        try:
            # In a savepoint, because PostgreSQL would refuse everything that comes after the error.
            async with self._conn.begin_nested():
                return await self._update(user_id, values)
        except IntegrityError:
            return False

    async def set_disabled(self, user_id: int, disabled: bool, now: datetime) -> None:
        """See the port."""
        await self._update(user_id, {"disabled": disabled, "update_time": now})

    async def set_administrator(self, user_id: int, administrator: bool, now: datetime) -> None:
        """See the port."""
        await self._update(user_id, {"is_administrator": administrator, "update_time": now})

    async def set_password(self, user_id: int, password_hash: str, now: datetime) -> bool:
        """See the port."""
        return await self._update(user_id, {"password_hash": password_hash, "update_time": now})

    async def lock_administrators(self) -> list[int]:
        """See the port."""
        return list((await self._conn.scalars(_LOCK_ADMINISTRATORS)).all())

    async def remove(self, user_id: int) -> bool:
        """See the port."""
        return (await self._conn.execute(delete(user).where(user.c.id == user_id))).rowcount > 0

    async def _update(self, user_id: int, values: dict[str, Any]) -> bool:
        return (await self._conn.execute(update(user).where(user.c.id == user_id).values(values))).rowcount > 0


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        username=row.username,
        email=row.email or "",
        realname=row.realname,
        comment=row.comment,
        is_administrator=row.is_administrator,
        disabled=row.disabled,
        create_time=row.create_time,
        update_time=row.update_time,
    )
