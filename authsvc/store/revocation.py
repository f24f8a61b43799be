"""Revocations of registry tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select

from authsvc.store.tables import change_log, revocation
from svckit.tokens.revocation import Loss, Revocation

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.log_position import LogPosition

_PAGE_ROWS = 1000
# Names and ids in a page. One row may have more, if a large group is deleted.
_PAGE_ITEMS = 100_000
_BEHIND = (
    select(revocation)
    .where(revocation.c.revision > bindparam("after"))
    .order_by(revocation.c.revision)
    .limit(_PAGE_ROWS)
)


class SqlRevocations:
    """See `domain.account_rows.RevocationRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def position(self) -> LogPosition:
        """See the port."""
        return await change_log.position(self._conn)

    async def behind(self, revision: int) -> tuple[tuple[Revocation, ...], bool]:
        """See the port."""
        found: list[Revocation] = []
        items = 0
        for row in (await self._conn.execute(_BEHIND, {"after": revision})).all():
            if items > _PAGE_ITEMS:
                return tuple(found), True
            found.append(_to_revocation(row))
            items += len(row.subjects) + len(row.project_ids)
        return tuple(found), len(found) == _PAGE_ROWS

    async def add(self, revision: int, time: datetime, loss: Loss) -> None:
        """Adds the loss of a commit, whose last change has this revision. Call it while the log is locked."""
        values = {"subjects": list(loss.subjects), "project_ids": list(loss.project_ids)}
        await self._conn.execute(insert(revocation), {"revision": revision, "time": time, **values})

    async def remove_older(self, time: datetime, limit: int) -> int:
        """See the port."""
        old = select(revocation.c.revision).where(revocation.c.time < time).order_by(revocation.c.time).limit(limit)
        return (await self._conn.execute(delete(revocation).where(revocation.c.revision.in_(old)))).rowcount


def _to_revocation(row: Row[Any]) -> Revocation:
    return Revocation(row.revision, row.time, Loss(tuple(row.subjects), tuple(row.project_ids)))
