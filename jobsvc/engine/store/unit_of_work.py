"""Units of work on a database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from jobsvc.engine.store.execution import SqlExecutions
from jobsvc.engine.store.queue import SqlQueues
from jobsvc.engine.store.schedule import SqlSchedules
from jobsvc.engine.store.tables import idempotency
from jobsvc.engine.store.task import SqlTasks
from jobsvc.engine.store.task_log import SqlTaskLogs
from jobsvc.engine.store.worker import SqlWorkers
from svckit.sql.errors import retry_conflicts
from svckit.sql.idempotency import SqlIdempotency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.sql.database import Database

T = TypeVar("T")


class SqlUnit:
    """A unit that reads. See `domain.rows.Unit`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    @property
    def executions(self) -> SqlExecutions:
        """Executions."""
        return SqlExecutions(self._conn)

    @property
    def tasks(self) -> SqlTasks:
        """Tasks."""
        return SqlTasks(self._conn)

    @property
    def logs(self) -> SqlTaskLogs:
        """Logs of tasks."""
        return SqlTaskLogs(self._conn)

    @property
    def queues(self) -> SqlQueues:
        """Queues."""
        return SqlQueues(self._conn)

    @property
    def schedules(self) -> SqlSchedules:
        """Schedules."""
        return SqlSchedules(self._conn)

    @property
    def workers(self) -> SqlWorkers:
        """Workers."""
        return SqlWorkers(self._conn)


class SqlUnitOfWork(SqlUnit):
    """A unit that writes. See `domain.rows.UnitOfWork`."""

    def __init__(self, conn: AsyncConnection, idempotency_key_seconds: float) -> None:
        super().__init__(conn)
        self._idempotency_key_seconds = idempotency_key_seconds

    @property
    def idempotency(self) -> SqlIdempotency:
        """The results of first calls with an idempotency key."""
        return SqlIdempotency(self._conn, idempotency, self._idempotency_key_seconds)

    async def commit(self) -> None:
        """See `domain.rows.UnitOfWork.commit`."""
        await self._conn.commit()


class SqlStore:
    """Gives out units on one database. See `domain.rows.Store`."""

    def __init__(self, database: Database, *, idempotency_key_seconds: float) -> None:
        """Takes the database with its tables, and how long an idempotency key is remembered."""
        self._database = database
        self._idempotency_key_seconds = idempotency_key_seconds

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnit]:
        """See `domain.rows.Store.read`."""
        async with self._database.read() as conn:
            yield SqlUnit(conn)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        """See `domain.rows.Store.write`."""
        async with self._database.write() as conn:
            yield SqlUnitOfWork(conn, self._idempotency_key_seconds)

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """See `domain.rows.Store.repeat`. Raises UNAVAILABLE after a few conflicts."""
        return await retry_conflicts(work)
