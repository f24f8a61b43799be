"""The queue of garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, delete, literal, select, true, update

from metasvc.domain.model import ReviewKind
from metasvc.store.prepared import Prepared
from metasvc.store.tables import artifact_blob, repository_blob, review
from svckit.sql.database import run_short
from svckit.sql.statements import batches, upsert
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Insert
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
    from sqlalchemy.ext.asyncio import AsyncConnection

_POSTPONE = (
    update(review)
    .where(
        review.c.kind == bindparam("of_kind"),
        review.c.digest == bindparam("of_digest"),
        review.c.repository_id == bindparam("of_repository"),
        review.c.due_time < bindparam("due_before"),
    )
    .values(due_time=bindparam("due"))
)
_REMOVE_MANIFESTS = delete(review).where(
    review.c.kind == ReviewKind.MANIFEST.value,
    review.c.repository_id == bindparam("in_repository"),
    review.c.digest.in_(bindparam("digests", expanding=True)),
)
# Blobs that are linked, or that a manifest needs although their link was removed.
_BLOBS_OF = (
    select(repository_blob.c.digest)
    .where(repository_blob.c.repository_id == bindparam("in_repository"))
    .union(select(artifact_blob.c.digest).where(artifact_blob.c.repository_id == bindparam("in_repository")))
    .subquery()
)


class SqlReviews:
    """See `domain.rows.ReviewRows`."""

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
        await run_short(self._conn, _queue(self._conn), rows)

    async def queue_blobs_of(self, repository_id: int, due_time: datetime, reason: str) -> None:
        """See the port. It is one statement for any number of blobs."""
        found = (
            select(
                literal(ReviewKind.BLOB.value),
                _BLOBS_OF.c.digest,
                literal(0),
                literal(due_time, UtcDateTime()),
                literal(reason),
            )
            # Without a WHERE, SQLite parses the ON of ON CONFLICT as a join condition
            # (https://www.sqlite.org/lang_upsert.html, "Parsing Ambiguity").
            .where(true())
            .order_by(_BLOBS_OF.c.digest)
        )
        columns = [review.c.kind, review.c.digest, review.c.repository_id, review.c.due_time, review.c.reason]
        insert = upsert(self._conn, review).from_select(columns, found)
        await self._conn.execute(_later(insert), {"in_repository": repository_id})

    async def postpone(
        self, kind: ReviewKind, repository_id: int, digest: str, due_before: datetime, due_time: datetime
    ) -> None:
        """See the port."""
        await run_short(
            self._conn,
            _POSTPONE,
            {
                "of_kind": kind.value,
                "of_digest": digest,
                "of_repository": repository_id,
                "due_before": due_before,
                "due": due_time,
            },
        )

    async def remove_manifests(self, repository_id: int, digests: Sequence[str]) -> None:
        """See the port."""
        for batch in batches(digests):
            await self._conn.execute(_REMOVE_MANIFESTS, {"in_repository": repository_id, "digests": batch})


@Prepared
def _queue(conn: AsyncConnection) -> Insert:
    return _later(upsert(conn, review))


def _later(insert: SqliteInsert | PostgresqlInsert) -> SqliteInsert | PostgresqlInsert:
    """Makes an insert postpone reviews that are queued already."""
    # A review never moves to an earlier time. Otherwise a replica whose clock is behind could shorten a grace period.
    later = case((insert.excluded.due_time > review.c.due_time, insert.excluded.due_time), else_=review.c.due_time)
    return insert.on_conflict_do_update(
        index_elements=[review.c.kind, review.c.digest, review.c.repository_id],
        set_={"due_time": later, "reason": insert.excluded.reason},
    )
