"""Refresh tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.model import Identity, RefreshToken
from authsvc.store.tables import refresh_token
from svckit.errors import Unauthenticated
from svckit.sql.selection import count_rows, read_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from authsvc.domain.model import Caller
    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

_ALL: Select[Any] = select(*(column for column in refresh_token.c if column is not refresh_token.c.token_hash))
_BY_HASH = _ALL.where(refresh_token.c.token_hash == bindparam("token_hash"))
_LOCK = _ALL.where(refresh_token.c.id == bindparam("token_id")).with_for_update()
_COLUMNS: Columns = {
    "id": refresh_token.c.id,
    "user_id": refresh_token.c.user_id,
    "robot_id": refresh_token.c.robot_id,
    "credential_version": refresh_token.c.credential_version,
    "expire_time": refresh_token.c.expire_time,
}


class SqlRefreshTokens:
    """See `domain.ports.RefreshTokenRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def by_hash(self, token_hash: str) -> RefreshToken | None:
        """See the port."""
        row = (await self._conn.execute(_BY_HASH, {"token_hash": token_hash})).one_or_none()
        return None if row is None else _token(row)

    async def lock(self, token_id: int) -> RefreshToken | None:
        """See the port."""
        row = (await self._conn.execute(_LOCK, {"token_id": token_id})).one_or_none()
        return None if row is None else _token(row)

    async def page(self, selection: Selection) -> list[RefreshToken]:
        """See the port."""
        return [_token(row) for row in await read_page(self._conn, _ALL, _COLUMNS, selection)]

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _ALL, _COLUMNS, clauses)

    async def add(
        self,
        *,
        token_hash: str,
        holder: Caller,
        client_id: str,
        service: str,
        address: str,
        now: datetime,
        expire_time: datetime,
    ) -> int:
        """See the port."""
        try:
            added: int = await self._conn.scalar(
                insert(refresh_token)
                .values(
                    token_hash=token_hash,
                    **{f"{holder.kind}_id": holder.id},
                    credential_version=holder.credential_version,
                    client_id=client_id,
                    service=service,
                    create_time=now,
                    create_address=address,
                    last_use_time=now,
                    last_use_address=address,
                    expire_time=expire_time,
                )
                .returning(refresh_token.c.id)
            )
        except IntegrityError as error:
            raise Unauthenticated from error
        return added

    async def note_use(
        self, token_id: int, address: str, now: datetime, expire_time: datetime, every: timedelta
    ) -> None:
        """See the port."""
        await self._conn.execute(
            update(refresh_token)
            .where(refresh_token.c.id == token_id, refresh_token.c.last_use_time <= now - every)
            .values(last_use_time=now, last_use_address=address, expire_time=expire_time)
        )

    async def remove(self, token_id: int) -> None:
        """See the port."""
        await self._conn.execute(delete(refresh_token).where(refresh_token.c.id == token_id))

    async def remove_idle(self, holder: Identity, before: datetime) -> bool:
        """See the port."""
        idle = (
            select(refresh_token.c.id)
            .where(_is_of(holder), refresh_token.c.last_use_time < before)
            .order_by(refresh_token.c.last_use_time, refresh_token.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return (await self._remove(refresh_token.c.id.in_(idle))) > 0

    async def remove_of(self, holder: Identity) -> int:
        """See the port."""
        return await self._remove(_is_of(holder))

    async def remove_expired(self, now: datetime, most: int) -> int:
        """See the port."""
        expired = (
            select(refresh_token.c.id)
            .where(refresh_token.c.expire_time <= now)
            .order_by(refresh_token.c.expire_time)
            .limit(most)
            # Rows that another replica is deleting are skipped.
            .with_for_update(skip_locked=True)
        )
        return await self._remove(refresh_token.c.id.in_(expired))

    async def _remove(self, which: ColumnElement[bool]) -> int:
        return (await self._conn.execute(delete(refresh_token).where(which))).rowcount


def _is_of(holder: Identity) -> ColumnElement[bool]:
    return (refresh_token.c.user_id if holder.kind == "user" else refresh_token.c.robot_id) == holder.id


def _token(row: Row[Any]) -> RefreshToken:
    return RefreshToken(
        id=row.id,
        holder=Identity("robot", row.robot_id) if row.user_id is None else Identity("user", row.user_id),
        credential_version=row.credential_version,
        client_id=row.client_id,
        service=row.service,
        create_time=row.create_time,
        create_address=row.create_address,
        last_use_time=row.last_use_time,
        last_use_address=row.last_use_address,
        expire_time=row.expire_time,
    )
