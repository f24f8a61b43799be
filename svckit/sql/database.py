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
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

Dialect = Literal["sqlite", "postgresql"]
Result = TypeVar("Result")


class Database(ABC):
    """What a service's stores stand on. `svckit.sql.opening` opens it; `close` ends it, after the last unit of work.

    Both kinds of unit raise DomainError: UNAVAILABLE when the database is down, full or locked from outside,
    OVERLOADED when no connection came free in time, and WriteConflictError (svckit.sql.errors) when PostgreSQL gave up
    this transaction for the sake of another one. IntegrityError and everything else that SQLAlchemy raises passes.
    """

    dialect: ClassVar[Dialect]

    @abstractmethod
    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A unit that reads, and never waits for a writer.

        Each statement sees what was committed when it began, without a round trip for a transaction around it. With
        `snapshot` all statements see the state of one moment (REPEATABLE READ READ ONLY).
        """

    @abstractmethod
    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A unit that writes: nothing stays unless `await conn.commit()` is called; leaving without it rolls back.

        READ COMMITTED on PostgreSQL: lock the rows that a decision depends on (`with_for_update`, which SQLite leaves
        out). On SQLite there is one writer at a time, in the order of asking, and it holds the file from the first
        moment (BEGIN IMMEDIATE), so what it reads is what it overwrites. Never begin a unit inside a writing unit: it
        would wait for itself. A commit that has begun is carried through even when the caller is cancelled.
        """

    @abstractmethod
    def change_schema(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A writing unit in which migrations run, alone among all processes. The schema exists in it."""

    @abstractmethod
    async def ping(self) -> None:
        """Asks the database something cheap, by a connection of the pool that everybody uses.

        Raises:
            DomainError: as every unit.
        """

    @abstractmethod
    async def close(self) -> None:
        """Gives up every connection, and the lock of a SQLite file. May be called again."""


class WritingConnection(AsyncConnection):
    """A connection whose commit, once begun, comes to its end."""

    __slots__ = ()

    async def commit(self) -> None:
        """Commits. A cancellation is raised only after it is known that the commit succeeded."""
        # Otherwise a caller that went away would leave behind a transaction of which nobody knows the outcome, and a
        # connection that has to be thrown away.
        await run_to_completion(super().commit())


async def run_to_completion(work: Coroutine[Any, Any, Result]) -> Result:
    """Awaits `work` to its end whatever happens to the caller, and raises the caller's cancellation after it.

    What `work` raises goes before the cancellation.
    """
    task = asyncio.create_task(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
    result = task.result()
    if cancellation is not None:
        raise cancellation
    return result
