"""Repeatable creates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from authsvc.store.tables import request
from svckit.sql.statements import advisory_xact_lock

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


class SqlRequests:
    """See `domain.ports.RequestRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def lock(self, subject: str, kind: str, request_id: str) -> int | None:
        """See the port."""
        await advisory_xact_lock(self._conn, f"request {subject} {kind} {request_id}")
        # A statement of its own, after the lock was granted, so that it sees what the last holder committed.
        found: int | None = await self._conn.scalar(
            select(request.c.created_id).where(
                request.c.subject == subject, request.c.kind == kind, request.c.request_id == request_id
            )
        )
        return found

    async def add(self, subject: str, kind: str, request_id: str, created_id: int, now: datetime) -> None:
        """See the port."""
        await self._conn.execute(
            insert(request).values(
                subject=subject, kind=kind, request_id=request_id, created_id=created_id, create_time=now
            )
        )

    async def forget_before(self, time: datetime) -> None:
        """See the port."""
        await self._conn.execute(delete(request).where(request.c.create_time < time))
