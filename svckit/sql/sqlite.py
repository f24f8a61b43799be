"""SQLite: one process per file, with one connection that writes and a few that read at the same time (WAL)."""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, cast

import aiosqlite
from sqlalchemy import URL, Connection, Select, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from svckit.durable import write_process_id
from svckit.sql.compiled import CompiledStatements, is_short
from svckit.sql.database import Database, Dialect, WritingConnection
from svckit.sql.errors import DatabaseInUseError, MissingDatabaseError, domain_errors, overloaded
from svckit.sql.short_reads import ShortReads
from svckit.sql.short_writes import SqliteWriter

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

OLDEST_SQLITE = (3, 35, 0)  # the first version with RETURNING
MOST_READERS = 4

_BUSY_SECONDS = 5.0
_STATEMENTS_KEPT = 256
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 4096
# The write-ahead log is cut to this size after a checkpoint. Otherwise it would stay large for ever after one large
# import.
_LOG_KEPT_BYTES = 32 * 1024 * 1024


class SqliteDatabase(Database):
    """A database in a file of its own. A lock keeps every other process from opening it."""

    dialect: ClassVar[Dialect] = "sqlite"

    def __init__(
        self,
        lock: "FileLock",
        writer: AsyncEngine,
        readers: AsyncEngine,
        short: ShortReads,
        statements: CompiledStatements,
        wait_seconds: float,
    ) -> None:
        self._lock = lock
        self._short = short
        self._statements = statements
        self._writer = writer
        self._readers = readers
        self._wait_seconds = wait_seconds
        # Writers wait here, in the order of arrival. Without this lock, SQLite would poll the file, which is unfair,
        # and each waiting writer would occupy a thread.
        self._turn = asyncio.Lock()

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
        writer = _engine(path, connections=1, wait_seconds=wait_seconds, query_only=False)
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        readers = _engine(
            path, connections=max(1, min(pool_size, MOST_READERS)), wait_seconds=wait_seconds, query_only=True
        )
        statements = CompiledStatements(readers.dialect)
        short = ShortReads(lambda: _connect(path, query_only=True, busy_seconds=0.0), statements)
        database = cls(lock, writer, readers, short, statements, wait_seconds)
        try:
            # The writer goes first: it sets up the write-ahead log in a new file.
            async with database.write(), database.read():
                pass
        except BaseException:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Database.read`. The connection refuses to write."""
        with domain_errors():
            async with AsyncConnection(self._readers) as conn:
                if snapshot:
                    await conn.exec_driver_sql("BEGIN")
                yield conn

    async def fetch(self, query: Select[Any], values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        """See `Database.fetch`. It runs on the thread of the event loop, and in another one if it fails there."""
        if is_short(values):
            # The file may be locked for a moment. If there is more to it, the other way says what.
            with suppress(sqlite3.Error):
                return self._short.fetch(query, values)
        return await super().fetch(query, values)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.write`."""
        with domain_errors():
            async with self._my_turn(), SqliteWriter(self._writer, self._statements) as conn:
                await conn.begin()
                yield conn

    @asynccontextmanager
    async def change_schema(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.change_schema`. Foreign keys are not enforced in it: check them before the commit."""
        with domain_errors():
            async with self._my_turn(), WritingConnection(self._writer) as conn:
                # Altering a table copies and drops it, and the drop would delete rows of other tables
                # (https://www.sqlite.org/lang_altertable.html#otheralter). The pragma has no effect in a transaction.
                driver = (await conn.get_raw_connection()).driver_connection
                await cast("_Connection", driver).run(sqlite3.Connection.execute, "PRAGMA foreign_keys=OFF")
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
            self._short.close()
            await self._readers.dispose()
            # The writer is closed last, so that SQLite writes the log into the file and removes the log.
            await self._writer.dispose()
        finally:
            self._lock.release()

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            raise overloaded() from error
        try:
            yield
        finally:
            self._turn.release()


class FileLock:
    """A lock on a file. It is held until `release`, or until the process ends in any way."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> "FileLock":
        """Takes the lock. Raises DatabaseInUseError if another process has it, OSError if there can be no file."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # flock is used instead of lockf: with POSIX locks, closing any descriptor of the file would drop the lock.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            database = path.name.removesuffix(".lock")
            raise DatabaseInUseError(
                error.errno, f"{database} is open already (process {holder}); one process per database file", str(path)
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        write_process_id(descriptor)
        return cls(descriptor)

    def release(self) -> None:
        """Releases the lock. The file stays: without it, two processes could lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _file(address: URL) -> Path:
    if not address.database or address.database == ":memory:" or address.query:
        raise ValueError("a SQLite database is a file: sqlite:////path/file.db")
    # Links are resolved, so that all paths to a file use the same lock.
    return Path(address.database).resolve()


def _begin_immediate(conn: Connection) -> None:
    # By default, SQLAlchemy and sqlite3 begin a transaction at the first write. Then another writer could change the
    # rows that were read before, and its update would be lost (or this one fails with SQLITE_BUSY_SNAPSHOT).
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def _connect(path: Path, *, query_only: bool, busy_seconds: float = _BUSY_SECONDS) -> sqlite3.Connection:
    # With isolation_level=None, sqlite3 does not begin transactions by itself. The connection of the writer is used by
    # two threads, in turn (`SqliteWriter`).
    connection = sqlite3.connect(
        path,
        timeout=busy_seconds,
        isolation_level=None,
        cached_statements=_STATEMENTS_KEPT,
        check_same_thread=False,
    )
    cache = _READER_CACHE_KIB if query_only else _WRITER_CACHE_KIB
    pragmas = (
        "journal_mode=WAL",
        # With NORMAL, the last commits can be lost at a power failure. A confirmed write must not be lost.
        "synchronous=FULL",
        "foreign_keys=ON",
        f"cache_size=-{cache}",
        f"journal_size_limit={_LOG_KEPT_BYTES}",
        "temp_store=MEMORY",
        f"query_only={'ON' if query_only else 'OFF'}",
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def _engine(path: Path, *, connections: int, wait_seconds: float, query_only: bool) -> AsyncEngine:
    def connect() -> sqlite3.Connection:
        return _connect(path, query_only=query_only)

    async def create() -> _Connection:
        connection = _Connection(connect, iter_chunk_size=64)
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


class _Connection(aiosqlite.Connection):
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

    def __init__(self, connection: _Connection) -> None:
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
