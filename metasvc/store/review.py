"""The collector's queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, update

from metasvc.domain.model import ReviewKind
from metasvc.store.tables import review
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_POSTPONE = (
    update(review)
    .where(
        review.c.kind == ReviewKind.BLOB.value,
        review.c.digest == bindparam("of_digest"),
        review.c.repository_id == 0,
        review.c.due_time < bindparam("due_before"),
    )
    .values(due_time=bindparam("due"))
)


class SqlReviews:
    """See `domain.ports.ReviewRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def queue(
        self, kind: ReviewKind, repository_id: int, digests: Iterable[str], due_time: datetime, reason: str
    ) -> None:
        """See the port."""
        rows = [
            {
                "kind": kind.value,
                "digest": digest,
                "repository_id": repository_id,
                "due_time": due_time,
                "reason": reason,
            }
            for digest in sorted(set(digests))
        ]
        if not rows:
            return
        insert = upsert(self._conn, review)
        # Never backwards: a clock that is behind on another replica must not shorten what was promised.
        later = case((insert.excluded.due_time > review.c.due_time, insert.excluded.due_time), else_=review.c.due_time)
        await self._conn.execute(
            insert.on_conflict_do_update(
                index_elements=[review.c.kind, review.c.digest, review.c.repository_id],
                set_={"due_time": later, "reason": insert.excluded.reason},
            ),
            rows,
        )

    async def postpone(self, digest: str, due_before: datetime, due_time: datetime) -> None:
        """See the port."""
        await self._conn.execute(_POSTPONE, {"of_digest": digest, "due_before": due_before, "due": due_time})
