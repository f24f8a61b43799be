"""One database of one service: reading and writing units of work on SQLite or PostgreSQL.

database = await open_database(settings.database_url, schema="metasvc", pool_size=20)
async with database.read() as conn:
    row = (await conn.execute(select(repository))).one()
async with database.write() as conn:
    await conn.execute(update(repository).values(...))
    await conn.commit()
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy import Executable, Select
from sqlalchemy.ext.asyncio import AsyncConnection

Dialect = Literal["sqlite", "postgresql"]
ShortValues = Mapping[str, object] | Sequence[Mapping[str, object]]
Result = TypeVar("Result")


class Database(ABC):
    """The database of a service's stores. `svckit.sql.opening` opens it; call `close` after the last unit of work.

    Both kinds of unit raise DomainError: UNAVAILABLE if the database is down or locked by another program, STORAGE_FULL
    if its disk is full, OVERLOADED if no connection was free in time, and WriteConflictError (svckit.sql.errors) if a
    unit was rolled back because of another one. IntegrityError and all other errors of SQLAlchemy
    are raised unchanged.
    """

    dialect: ClassVar[Dialect]

    @abstractmethod
    def read(self, *, snapshot: bool = False, short: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A unit that only reads, and never waits for a writer.

        Each statement sees what was committed when it began; there is no transaction, and no round trip for one. With
        `snapshot`, all statements see the state of one moment (REPEATABLE READ READ ONLY).

        A short unit reads few rows by indexes, and few bytes. On SQLite, its statements run on the thread of the event
        loop, unless it is a snapshot.
        """

    async def fetch(self, query: Select[Any], values: Mapping[str, object]) -> Sequence[Any]:
        """Reads all rows of one short query, without a unit. The rows are named tuples.

        It must use unique indexes only and read few bytes: with SQLite, it holds up everything else in the process.
        Make the query once: it is compiled with its first use.
        """
        async with self.read() as conn:
            return await _run(conn, query, values)

    @abstractmethod
    def write(self, *, short: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A unit that writes. Call `await conn.commit()` at its end; leaving the block without it rolls back.

        A short unit reads and writes few rows by indexes, waits for nothing but its own statements, and ends with its
        commit. On SQLite, it runs on the thread of the event loop, and units that come at the same time are committed
        together, with one sync. If another one of them makes SQLite roll back, it fails with WriteConflictError.

        On PostgreSQL it is READ COMMITTED: lock the rows that a decision depends on (`with_for_update`, which is left
        out on SQLite). On SQLite there is one writer at a time, in the order of arrival. It locks the file when it
        begins (BEGIN IMMEDIATE), so nobody can change what it has read. Never begin a unit inside a writing unit: it
        would wait for itself. A commit that has begun is finished even if the caller is cancelled.
        """

    @abstractmethod
    def change_schema(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A writing unit for migrations. Only one process at a time can be in it. The schema exists in it."""

    @abstractmethod
    async def ping(self) -> None:
        """Sends a cheap statement to the database, on a connection of the shared pool.

        Raises:
            DomainError: as every unit of work.
        """

    @abstractmethod
    async def close(self) -> None:
        """Closes all connections, and releases the lock of a SQLite file. May be called again."""


class ShortConnection(AsyncConnection):
    """A connection that runs short statements in a way of its own."""

    __slots__ = ()

    async def run_short(self, statement: Executable, values: ShortValues) -> Sequence[Any]:
        """See `run_short` in this module."""
        return await _run(self, statement, values)


class WritingConnection(ShortConnection):
    """A connection whose commit is always finished after it has begun."""

    __slots__ = ()

    async def commit(self) -> None:
        """Commits. A cancellation is raised only after the commit has succeeded."""
        # Otherwise the outcome of the transaction would be unknown when a caller is cancelled, and its connection could
        # not be used again.
        await run_to_completion(super().commit())


async def run_short(conn: AsyncConnection, statement: Executable, values: ShortValues) -> Sequence[Any]:
    """Runs a short statement: one that uses indexes only, and touches few rows.

    With SQLite, in a writing or a short unit, it runs on the thread of the event loop and without SQLAlchemy. So it
    holds up everything else in the process, but only for some microseconds.

    Args:
        conn: the connection of the unit.
        statement: make it once, because it is compiled with its first use.
        values: its parameters; or several sets, for which it runs one after the other.

    Returns:
        All rows that it returns, as named tuples; none without RETURNING.
    """
    if isinstance(conn, ShortConnection):
        return await conn.run_short(statement, values)
    return await _run(conn, statement, values)


async def run_short_one(conn: AsyncConnection, statement: Executable, values: Mapping[str, object]) -> Any | None:
    """The row of a short statement that returns one at most; None without one."""
    rows = await run_short(conn, statement, values)
    return rows[0] if rows else None


async def _run(conn: AsyncConnection, statement: Executable, values: ShortValues) -> Sequence[Any]:
    result = await conn.execute(statement, values)
    return result.all() if result.returns_rows else ()


async def run_to_completion(work: Coroutine[Any, Any, Result]) -> Result:
    """Awaits `work` to its end, even if the caller is cancelled. Raises the cancellation afterwards.

    If `work` raises, its error is raised instead of the cancellation.
    """
    return await wait_to_end(asyncio.create_task(work))


async def wait_to_end(future: asyncio.Future[Result]) -> Result:
    """Waits for a future to its end, as `run_to_completion` does for a coroutine."""
    cancellation: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancellation = error
    result = future.result()
    if cancellation is not None:
        raise cancellation
    return result
