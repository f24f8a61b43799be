"""One database of one service: reading and writing units of work on SQLite or PostgreSQL.

database = await Database.open(settings.database_url, schema="metasvc", pool_size=20)
async with database.read() as conn:
    row = (await conn.execute(select(repository))).one()
async with database.write() as conn:
    await conn.execute(update(repository).values(...))
    await conn.commit()
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection

Dialect = Literal["sqlite", "postgresql"]
Result = TypeVar("Result")

# A name that needs no quoting, so that it may stand in `search_path` as it is.
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Database(ABC):
    """What a service's stores stand on. Built by `open`, closed by `close`, after the last unit of work has ended.

    Both kinds of unit raise DomainError: UNAVAILABLE when the database is down, full or locked from outside,
    OVERLOADED when no connection came free in time, and WriteConflictError (svckit.sql.errors) when PostgreSQL gave up
    this transaction for the sake of another one. IntegrityError and everything else that SQLAlchemy raises passes.
    """

    dialect: ClassVar[Dialect]

    @classmethod
    async def open(
        cls, url: str, *, schema: str | None = None, pool_size: int = 10, wait_seconds: float = 10
    ) -> "Database":
        """Opens a database and makes sure that it answers.

        Args:
            url: `sqlite:////absolute/path.db`, or `postgresql://user@host/database`. The driver is ours to choose.
            schema: The PostgreSQL schema that holds the service's tables; `migrate` creates it. SQLite has none.
            pool_size: Connections at the most. Keep it above the number of RPCs in flight. SQLite has one that writes,
                and at most four that read.
            wait_seconds: How long a unit waits for a connection, or for its turn to write, before it is OVERLOADED.

        Raises:
            ValueError: The URL or the schema's name is not of this form.
            DatabaseInUseError: Another process (or this one) has the SQLite file open.
            DomainError: UNAVAILABLE; the database cannot be reached.
        """
        try:
            address = make_url(url)
        except ArgumentError:
            # Without the error's text: it holds the URL, and the URL may hold a password.
            raise ValueError(
                "a database URL looks like sqlite:////path/file.db or postgresql://user@host/name"
            ) from None
        if schema is not None and not _SCHEMA.fullmatch(schema):
            raise ValueError(f"not a schema's name: {schema!r} (small letters, digits, underscores)")
        # Only the database that is used is imported: the other one's modules cost time and memory at every start.
        match address.get_backend_name():
            case "sqlite":
                from svckit.sql.sqlite import SqliteDatabase

                return await SqliteDatabase.connect(address, pool_size=pool_size, wait_seconds=wait_seconds)
            case "postgresql":
                from svckit.sql.postgresql import PostgresqlDatabase

                return await PostgresqlDatabase.connect(
                    address, schema=schema, pool_size=pool_size, wait_seconds=wait_seconds
                )
            case other:
                raise ValueError(f"not a database that Roadstead runs on: {other!r} (sqlite, postgresql)")

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
