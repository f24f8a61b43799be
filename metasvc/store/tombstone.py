"""Tombstones of generations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, exists, or_, select, tuple_, update

from metasvc.domain.model import BlobKey, BlobState
from metasvc.store.prepared import Prepared
from metasvc.store.tables import blob, tombstone
from svckit.sql.database import run_short, run_short_one
from svckit.sql.statements import upsert
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Insert
    from sqlalchemy.ext.asyncio import AsyncConnection

_KEY = tuple_(tombstone.c.digest, tombstone.c.generation)
_THESE = _KEY.in_(bindparam("keys", expanding=True))
_NOW = bindparam("now", type_=UtcDateTime)
_BEFORE = bindparam("before", type_=UtcDateTime)
_IS_LIVE = exists().where(
    blob.c.digest == tombstone.c.digest,
    blob.c.generation == tombstone.c.generation,
    blob.c.state == BlobState.LIVE.value,
)
_HAS = select(tombstone.c.digest).where(
    tombstone.c.digest == bindparam("of_digest"), tombstone.c.generation == bindparam("of_generation")
)
_IS_DUE = tombstone.c.delete_time.is_(None) & (tombstone.c.due_time <= _NOW)
_IS_OLD = tombstone.c.delete_time.is_not(None) & (tombstone.c.create_time < _BEFORE)
_ANY_TO_DO = select(tombstone.c.digest).where(or_(_IS_DUE, _IS_OLD)).limit(1)
_DUE = (
    select(tombstone.c.digest, tombstone.c.generation)
    # A live generation never has a tombstone. If one had, because of a mistake, its bytes must not be deleted.
    .where(_IS_DUE, ~_IS_LIVE)
    .order_by(tombstone.c.due_time)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_OLD = (
    select(tombstone.c.digest, tombstone.c.generation)
    .where(_IS_OLD)
    .order_by(tombstone.c.create_time)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_POSTPONE = update(tombstone).where(_THESE).values(due_time=bindparam("due", type_=UtcDateTime))
_MARK_DELETED = update(tombstone).where(_THESE).values(delete_time=_NOW)
_FORGET = delete(tombstone).where(_THESE)


class SqlTombstones:
    """See `domain.rows.TombstoneRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def add(self, key: BlobKey, reason: str, due_time: datetime, now: datetime) -> None:
        """See the port."""
        await run_short(
            self._conn,
            _add(self._conn),
            {
                "digest": key.digest,
                "generation": key.generation,
                "reason": reason,
                "due_time": due_time,
                "create_time": now,
                "delete_time": None,
            },
        )

    async def has(self, key: BlobKey) -> bool:
        """See the port."""
        values = {"of_digest": key.digest, "of_generation": key.generation}
        return await run_short_one(self._conn, _HAS, values) is not None

    async def any_to_do(self, now: datetime, old: datetime) -> bool:
        """See the port."""
        return await self._conn.scalar(_ANY_TO_DO, {"now": now, "before": old}) is not None

    async def claim(self, now: datetime, retry_time: datetime, most: int) -> list[BlobKey]:
        """See the port."""
        rows = await self._conn.execute(_DUE, {"now": now, "most": most})
        keys = [BlobKey(row.digest, row.generation) for row in rows]
        if keys:
            await self._conn.execute(_POSTPONE, {"keys": _values(keys), "due": retry_time})
        return keys

    async def mark_deleted(self, keys: Iterable[BlobKey], now: datetime) -> None:
        """See the port."""
        await self._conn.execute(_MARK_DELETED, {"keys": _values(keys), "now": now})

    async def forget(self, created_before: datetime, most: int) -> None:
        """See the port."""
        rows = await self._conn.execute(_OLD, {"before": created_before, "most": most})
        keys = [(row.digest, row.generation) for row in rows]
        if keys:
            await self._conn.execute(_FORGET, {"keys": keys})


@Prepared
def _add(conn: AsyncConnection) -> Insert:
    return upsert(conn, tombstone).on_conflict_do_nothing()


def _values(keys: Iterable[BlobKey]) -> list[tuple[str, int]]:
    return [(key.digest, key.generation) for key in keys]
