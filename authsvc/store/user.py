"""Users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, func, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.model import User
from authsvc.store.tables import user, user_group_member
from svckit.sql.selection import count_rows, read_page
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
    user.c.credential_version,
    user.c.version,
    user.c.create_time,
    user.c.update_time,
    # Asked here, so that the checks of access look for the roles of groups only if the caller is in one.
    exists().where(user_group_member.c.user_id == user.c.id).correlate(user).label("in_groups"),
)
_ALL: Select[Any] = select(*_SHOWN)
_GET = _ALL.where(user.c.id == bindparam("user_id"))
_LOCK = _GET.with_for_update(of=user)
_BY_NAME = _ALL.where(user.c.username == bindparam("username"))
_WITH_PASSWORD: Select[Any] = select(*_SHOWN, user.c.password_hash)
_CREDENTIALS = _WITH_PASSWORD.where(user.c.username == bindparam("username"))
_CREDENTIALS_BY_EMAIL = _WITH_PASSWORD.where(user.c.email == bindparam("email"))
_LOCK_ADMINISTRATORS = (
    select(user.c.id)
    .where(user.c.is_administrator.is_(True), user.c.disabled.is_(False))
    .order_by(user.c.id)
    .with_for_update()
)
_COLUMNS: Columns = {
    "user_id": user.c.id,
    "username": user.c.username,
    # A keyset cannot have NULL. As the index has it, where a parameter would not be the same.
    "email": func.coalesce(user.c.email, literal_column("''")),
    "realname": user.c.realname,
    "administrator": user.c.is_administrator,
    "creation_time": user.c.create_time,
    "update_time": user.c.update_time,
}


class SqlUsers:
    """See `domain.account_rows.UserRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, user_id: int) -> User | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"user_id": user_id})).one_or_none()
        return None if row is None else _user(row)

    async def lock(self, user_id: int) -> User | None:
        """See the port."""
        row = (await self._conn.execute(_LOCK, {"user_id": user_id})).one_or_none()
        return None if row is None else _user(row)

    async def by_name(self, username: str) -> User | None:
        """See the port."""
        row = (await self._conn.execute(_BY_NAME, {"username": username})).one_or_none()
        return None if row is None else _user(row)

    async def name_that_begins_with(self, prefix: str) -> str | None:
        """See the port."""
        # LIKE ignores case on SQLite.
        names = select(user.c.username).where(func.substr(user.c.username, 1, len(prefix)) == prefix)
        found: str | None = await self._conn.scalar(names.limit(1))
        return found

    async def credentials(self, username: str) -> tuple[User, str] | None:
        """See the port."""
        row = (await self._conn.execute(_CREDENTIALS, {"username": username})).one_or_none()
        return None if row is None else (_user(row), row.password_hash)

    async def credentials_by_email(self, email: str) -> tuple[User, str] | None:
        """See the port."""
        row = (await self._conn.execute(_CREDENTIALS_BY_EMAIL, {"email": email})).one_or_none()
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
                version=1,
                create_time=now,
                update_time=now,
            )
            .on_conflict_do_nothing()
            .returning(user.c.id)
        )
        return added

    async def update(self, changed: User) -> bool:
        """See the port."""
        values = {
            "email": changed.email or None,
            "realname": changed.realname,
            "comment": changed.comment,
            "is_administrator": changed.is_administrator,
            "disabled": changed.disabled,
            "credential_version": changed.credential_version,
        }
        try:
            # In a savepoint: after an error, PostgreSQL refuses all further statements of a transaction without one.
            async with self._conn.begin_nested():
                await self._write(changed, values)
        except IntegrityError:
            return False
        return True

    async def set_password(self, changed: User, password_hash: str) -> None:
        """See the port."""
        values = {"password_hash": password_hash, "credential_version": changed.credential_version}
        await self._write(changed, values)

    async def lock_administrators(self) -> list[int]:
        """See the port."""
        return list((await self._conn.scalars(_LOCK_ADMINISTRATORS)).all())

    async def remove(self, user_id: int) -> None:
        """See the port."""
        await self._conn.execute(delete(user).where(user.c.id == user_id))

    async def _write(self, changed: User, values: dict[str, Any]) -> None:
        await self._conn.execute(
            update(user)
            .where(user.c.id == changed.id)
            .values(**values, version=changed.version, update_time=changed.update_time)
        )


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        username=row.username,
        email=row.email or "",
        realname=row.realname,
        comment=row.comment,
        is_administrator=row.is_administrator,
        disabled=row.disabled,
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
        in_groups=bool(row.in_groups),
        credential_version=row.credential_version,
    )
