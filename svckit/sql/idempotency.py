"""Stores the results of calls with an idempotency key, in a service's own database (`svckit.idempotency`).

A row means that a call has claimed a key. If two calls have the same key, the primary key lets only one insert it. On
PostgreSQL, the second insert waits for the first one's transaction; on SQLite, the whole second unit waits. Then the
second call reads the result of the first. If the first was rolled back, the second claims the key itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, MetaData, PrimaryKeyConstraint, String, Table, Text, delete, select, update
from sqlalchemy import tuple_ as row

from svckit.errors import DomainError
from svckit.idempotency import FirstCall, used_for_another_request
from svckit.sql.statements import upsert
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.idempotency import IdempotencyKey

_HEX_CHARACTERS = 64
# A call deletes only some of the old rows, so that no call takes long after a busy day.
_FORGOTTEN_AT_ONCE = 100


def idempotency_table(metadata: MetaData) -> Table:
    """Adds the table to a service's tables. The service's migration must make the same columns."""
    return Table(
        "idempotency",
        metadata,
        Column("subject", Text, nullable=False),
        Column("method", Text, nullable=False),
        # SHA-256, in hexadecimal.
        Column("key_hash", String(_HEX_CHARACTERS), nullable=False),
        Column("request_hash", String(_HEX_CHARACTERS), nullable=False),
        # NULL only inside the unit of work that claims the key.
        Column("made_id", BigInteger, nullable=True),
        # argon2id, in PHC string format. Empty for a request without a secret.
        Column("secret_hash", Text, nullable=False),
        Column("create_time", UtcDateTime, nullable=False, index=True),
        PrimaryKeyConstraint("subject", "method", "key_hash"),
    )


class SqlIdempotency:
    """`svckit.idempotency.IdempotencyRows` on a connection that writes."""

    def __init__(self, conn: AsyncConnection, table: Table, keep_seconds: float) -> None:
        """Takes the connection of a writing unit, the table, and how long a key is remembered."""
        self._conn = conn
        self._table = table
        self._keep = timedelta(seconds=keep_seconds)

    async def claim(self, key: IdempotencyKey | None, now: datetime) -> FirstCall | None:
        """See the port."""
        if key is None:
            return None
        oldest = now - self._keep
        if await self._insert(key, now, oldest):
            await self._forget_before(oldest)
            return None
        # This is a separate statement, so that it sees what the first call committed while the insert waited.
        found = (await self._conn.execute(select(self._table).where(self._is(key)))).one()
        if found.request_hash != key.request_hash:
            raise used_for_another_request()
        if found.made_id is None:
            raise DomainError("INTERNAL", f"{key.method} claimed an idempotency key and stored no result")
        return FirstCall(found.made_id, found.secret_hash)

    async def remember(self, key: IdempotencyKey | None, made_id: int, *, secret_hash: str = "") -> None:
        """See the port."""
        if key is None:
            return
        if key.holds_secret and not secret_hash:
            raise DomainError("INTERNAL", f"{key.method} stored a request without the hash of its secret")
        await self._conn.execute(
            update(self._table).where(self._is(key)).values(made_id=made_id, secret_hash=secret_hash)
        )

    async def _insert(self, key: IdempotencyKey, now: datetime, oldest: datetime) -> bool:
        """Claims the key. An expired row is replaced. Returns False if another row has the key."""
        insert = upsert(self._conn, self._table).values(
            subject=key.subject,
            method=key.method,
            key_hash=key.key_hash,
            request_hash=key.request_hash,
            made_id=None,
            secret_hash="",
            create_time=now,
        )
        taken_over = {name: insert.excluded[name] for name in ("request_hash", "made_id", "secret_hash", "create_time")}
        claimed = await self._conn.execute(
            insert.on_conflict_do_update(
                index_elements=list(self._table.primary_key.columns),
                set_=taken_over,
                where=self._table.c.create_time < oldest,
            ).returning(self._table.c.key_hash)
        )
        return claimed.first() is not None

    async def _forget_before(self, oldest: datetime) -> None:
        key = row(*self._table.primary_key.columns)
        old = (
            select(*self._table.primary_key.columns)
            .where(self._table.c.create_time < oldest)
            .order_by(self._table.c.create_time)
            .limit(_FORGOTTEN_AT_ONCE)
            # Rows that another call is deleting are skipped, so that no call waits for this.
            .with_for_update(skip_locked=True)
        )
        await self._conn.execute(delete(self._table).where(key.in_(old)))

    def _is(self, key: IdempotencyKey) -> ColumnElement[bool]:
        columns = self._table.c
        return (columns.subject == key.subject) & (columns.method == key.method) & (columns.key_hash == key.key_hash)
