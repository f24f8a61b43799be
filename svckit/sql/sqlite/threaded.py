"""Connections that run their statements in a thread of their own."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from svckit.sql.sqlite.connecting import connect

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def threaded_engine(
    path: Path, *, connections: int, wait_seconds: float, busy_seconds: float, query_only: bool
) -> AsyncEngine:
    """A pool of such connections.

    Args:
        path: the file.
        connections: the most connections.
        wait_seconds: how long a unit waits for a free one.
        busy_seconds: how long a statement waits for a lock of another program.
        query_only: whether they refuse to write.
    """

    def open_file() -> sqlite3.Connection:
        return connect(path, sqlite3.Connection, query_only=query_only, busy_seconds=busy_seconds)

    async def create() -> ThreadedConnection:
        connection = ThreadedConnection(open_file, iter_chunk_size=64)
        await connection.open()
        return connection

    return create_async_engine(
        "sqlite+aiosqlite:///" + str(path).replace("%", "%25"),
        async_creator=create,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_seconds,
        pool_use_lifo=True,
        hide_parameters=True,
    )


class ThreadedConnection(aiosqlite.Connection):
    """An aiosqlite connection that uses its thread once for each statement instead of four times.

    aiosqlite calls its thread to make a cursor, to execute, to fetch and to close. Each of these calls costs more than
    a short query. This class also fetches the whole result at once, so that a slow reader does not keep a snapshot
    open.
    """

    _end: asyncio.Future[Any] | None = None

    @property
    def idle(self) -> sqlite3.Connection:
        """The connection of sqlite3, for use in another thread while this one has nothing to do."""
        return self._conn

    async def open(self) -> None:
        """Starts the thread and opens the file. Raises the errors of sqlite3."""
        # The thread must not keep the process from ending. SQLAlchemy sets this, too, for connections that it makes.
        self._thread.daemon = True
        try:
            await self
        except BaseException:
            # aiosqlite has told its thread to end, but does not wait for it. The thread reports to this event loop,
            # which could be closed by then.
            if self._end is not None:
                await self._end
            raise

    def stop(self) -> asyncio.Future[Any] | None:
        """Tells the thread to close the file and to end. The future is done when it has ended."""
        self._end = super().stop()
        return self._end

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, Arguments], Result], *args: Any) -> Result:
        """Calls `work(connection, *args)` on the connection's thread."""
        result: Result = await self._execute(work, self._conn, *args)  # type: ignore[no-untyped-call]
        return result

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        """A cursor. It does not use the thread until it executes a statement."""
        return _Cursor(self)

    async def commit(self) -> None:
        """Commits if there is a transaction."""
        if self.in_transaction:
            await super().commit()

    async def rollback(self) -> None:
        """Rolls back if there is a transaction. The pool calls this after every read."""
        if self.in_transaction:
            await super().rollback()


class _Cursor:
    """The part of aiosqlite's cursor that SQLAlchemy uses. It has the whole result in memory."""

    def __init__(self, connection: ThreadedConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "_Cursor":
        await self._connection.run(self._execute, sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> "_Cursor":
        await self._connection.run(self._executemany, sql, parameters)
        return self

    async def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        size = size or self.arraysize
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    async def fetchall(self) -> list[Any]:
        taken, self._rows = self._rows, []
        return taken

    async def close(self) -> None:
        self._rows = []

    def _execute(self, connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> None:
        self._keep(connection.execute(sql, parameters))

    def _executemany(self, connection: sqlite3.Connection, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._keep(connection.executemany(sql, parameters))

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self._rows = cursor.fetchall() if cursor.description else []
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
        cursor.close()
