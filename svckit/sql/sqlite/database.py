"""The database in a SQLite file."""

import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, cast

from sqlalchemy import URL, Connection, Select, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from svckit.sql.database import Database, Dialect, WritingConnection
from svckit.sql.errors import MissingDatabaseError, domain_errors
from svckit.sql.sqlite.compiled import CompiledStatements, is_short
from svckit.sql.sqlite.connecting import BUSY_SECONDS
from svckit.sql.sqlite.lock import FileLock
from svckit.sql.sqlite.shared_commits import SharedCommits
from svckit.sql.sqlite.short_reads import ShortReads
from svckit.sql.sqlite.short_writes import SqliteWriter
from svckit.sql.sqlite.threaded import ThreadedConnection, threaded_engine
from svckit.sql.sqlite.turns import Turns

OLDEST_SQLITE = (3, 35, 0)  # the first version with RETURNING
MOST_READERS = 4


class SqliteDatabase(Database):
    """A database in a file of its own. A lock keeps every other process from opening it."""

    dialect: ClassVar[Dialect] = "sqlite"

    def __init__(
        self,
        lock: FileLock,
        turns: Turns,
        writer: AsyncEngine,
        readers: AsyncEngine,
        short_reads: ShortReads,
        shared_commits: SharedCommits,
        statements: CompiledStatements,
    ) -> None:
        self._lock = lock
        self._turns = turns
        self._writer = writer
        self._readers = readers
        self._short_reads = short_reads
        self._shared_commits = shared_commits
        self._statements = statements

    @classmethod
    async def connect(cls, address: URL, *, pool_size: int, wait_seconds: float, must_exist: bool) -> "SqliteDatabase":
        """Opens the file, and creates it if it does not exist and need not. See `svckit.sql.opening`."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ValueError(f"SQLite 3.35 or newer is needed, this Python has {sqlite3.sqlite_version}")
        path = _file(address)
        # At DEBUG, aiosqlite logs the parameters of every statement, including password hashes.
        logging.getLogger("aiosqlite").setLevel(logging.INFO)
        # SQLite takes a file without bytes for a new database, and removes the log beside it, which may hold all rows.
        if must_exist and not (path.exists() and path.stat().st_size):
            raise MissingDatabaseError(f"the database {path} is missing or empty")
        lock = FileLock.take(path.with_name(path.name + ".lock"))
        try:
            # The file may contain password hashes. It is created here, and not by SQLite, so that only its owner can
            # read it. SQLite gives the same mode to the log and the index next to it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            lock.release()
            raise
        turns = Turns(wait_seconds)
        writer = threaded_engine(
            path, connections=1, wait_seconds=wait_seconds, busy_seconds=BUSY_SECONDS, query_only=False
        )
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        readers = threaded_engine(
            path,
            connections=max(1, min(pool_size, MOST_READERS)),
            wait_seconds=wait_seconds,
            busy_seconds=BUSY_SECONDS,
            query_only=True,
        )
        statements = CompiledStatements(readers.dialect)
        short_reads = ShortReads(path, readers, statements)
        shared_commits = SharedCommits(path, turns, writer, statements, BUSY_SECONDS)
        database = cls(lock, turns, writer, readers, short_reads, shared_commits, statements)
        try:
            # The writer goes first: it sets up the write-ahead log in a new file.
            async with database.write(), database.read():
                pass
        except BaseException:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False, short: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Database.read`. The connection refuses to write."""
        with domain_errors():
            if short and not snapshot and (direct := self._short_reads.unit()) is not None:
                yield direct
                return
            async with AsyncConnection(self._readers) as conn:
                if snapshot:
                    await conn.exec_driver_sql("BEGIN")
                yield conn

    async def fetch(self, query: Select[Any], values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        """See `Database.fetch`. It runs on the thread of the event loop, and in another one if it fails there."""
        if is_short(values):
            # The file may be locked for a moment. If there is more to it, the other way says what.
            with suppress(sqlite3.Error):
                return self._short_reads.fetch(query, values)
        return await super().fetch(query, values)

    @asynccontextmanager
    async def write(self, *, short: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Database.write`."""
        with domain_errors():
            if short:
                async with self._shared_commits.unit() as conn:
                    yield conn
                return
            async with self._turns.alone(), SqliteWriter(self._writer, self._statements) as conn:
                await conn.begin()
                yield conn

    @asynccontextmanager
    async def change_schema(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.change_schema`. Foreign keys are not enforced in it: check them before the commit."""
        with domain_errors():
            async with self._turns.alone(), WritingConnection(self._writer) as conn:
                # Altering a table copies and drops it, and the drop would delete rows of other tables
                # (https://www.sqlite.org/lang_altertable.html#otheralter). The pragma has no effect in a transaction.
                driver = (await conn.get_raw_connection()).driver_connection
                await cast("ThreadedConnection", driver).run(sqlite3.Connection.execute, "PRAGMA foreign_keys=OFF")
                try:
                    await conn.begin()
                    yield conn
                finally:
                    # The next writer gets a new connection, with foreign keys.
                    await conn.invalidate()

    async def ping(self) -> None:
        """See `Database.ping`. It reads the file, which `SELECT 1` would not."""
        async with self.read() as conn:
            await conn.exec_driver_sql("PRAGMA schema_version")

    async def close(self) -> None:
        """See `Database.close`."""
        try:
            self._short_reads.close()
            await self._shared_commits.close()
            await self._readers.dispose()
            # The writer is closed last, so that SQLite writes the log into the file and removes the log.
            await self._writer.dispose()
        finally:
            self._lock.release()


def _file(address: URL) -> Path:
    if not address.database or address.database == ":memory:" or address.query:
        raise ValueError("a SQLite database is a file: sqlite:////path/file.db")
    # Links are resolved, so that all paths to a file use the same lock.
    return Path(address.database).resolve()


def _begin_immediate(conn: Connection) -> None:
    # By default, SQLAlchemy and sqlite3 begin a transaction at the first write. Then another writer could change the
    # rows that were read before, and its update would be lost (or this one fails with SQLITE_BUSY_SNAPSHOT).
    conn.exec_driver_sql("BEGIN IMMEDIATE")
