"""Short writing units of SQLite. They run on the thread of the event loop, and share a transaction and its sync.

The first unit begins a transaction. Units that ask for their turn before it has ended run in the same transaction, one
after the other, each in a savepoint. Then one commit, in another thread, syncs the log for all of them, and only then
is any of them answered. A reader sees nothing of them before, as with one transaction for each unit.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from svckit.errors import DomainError
from svckit.sql.database import run_to_completion, wait_to_end
from svckit.sql.errors import WriteConflictError, domain_errors
from svckit.sql.sqlite.compiled import CompiledStatements
from svckit.sql.sqlite.direct import DirectConnection, DirectDriver, direct_engine, driver, sqlalchemy_errors
from svckit.sql.sqlite.turns import Turns

_SAVEPOINT = "unit"
# Nobody joins any more once a transaction has had so many units, or is so old: those of the beginning wait for its end.
_MOST_UNITS = 32
_LONGEST_SECONDS = 0.02
_BUSY_PAUSE_SECONDS = 0.01


class SharedCommits:
    """The connection of the short units. Its statements run on the thread of the event loop, and its commits do not."""

    def __init__(
        self, path: Path, turns: Turns, engine: AsyncEngine, statements: CompiledStatements, busy_seconds: float
    ) -> None:
        """Connects with the first unit.

        Args:
            path: the file.
            turns: the turns of all writing units of the file.
            engine: that of the other writing units, for whoever asks a connection for its engine.
            statements: compiles short statements.
            busy_seconds: how long to wait for a lock of another program.
        """
        self._turns = turns
        self._async_engine = engine
        self._statements = statements
        self._busy_seconds = busy_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commits")
        self._engine = direct_engine(path, query_only=False)
        self._pooled: PoolProxiedConnection | None = None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncConnection]:
        """A unit. See `Database.write`.

        Raises:
            WriteConflictError: the transaction was lost because of another unit.
        """
        await self._turns.take(shares=True)
        try:
            with sqlalchemy_errors():
                pooled, transaction = await self._join()
            unit = _Unit(transaction, self._turns)
        except BaseException:
            self._turns.pass_on()
            raise
        conn = _UnitConnection(self._async_engine, self._engine, pooled, self._statements, unit)
        try:
            yield conn
        except asyncio.CancelledError:
            unit.roll_back()
            raise
        except BaseException:
            await unit.leave()
            raise
        else:
            await unit.leave()

    async def close(self) -> None:
        """Closes the connection. May be called again."""
        await self._turns.settle()
        self._disconnect()
        self._thread.shutdown()

    async def _join(self) -> "tuple[PoolProxiedConnection, _Transaction]":
        shared = self._turns.shared
        if isinstance(shared, _Transaction) and self._pooled is not None:
            return self._pooled, shared
        pooled = await self._connected()
        raw = driver(pooled)
        await self._begin(raw)
        transaction = self._turns.shared = _Transaction(raw, self._thread)
        return pooled, transaction

    async def _connected(self) -> PoolProxiedConnection:
        if self._pooled is not None and driver(self._pooled).is_broken:
            self._disconnect()
        # To its end, so that no connection is lost when the caller is cancelled.
        return await run_to_completion(self._connect()) if self._pooled is None else self._pooled

    async def _connect(self) -> PoolProxiedConnection:
        # In the thread, because a file that is opened after a crash is repaired first.
        loop = asyncio.get_running_loop()
        self._pooled = await loop.run_in_executor(self._thread, self._engine.raw_connection)
        driver(self._pooled).needs_transaction = True
        return self._pooled

    def _disconnect(self) -> None:
        if self._pooled is not None:
            pooled, self._pooled = self._pooled, None
            raw = driver(pooled)
            raw.needs_transaction = False
            if raw.is_broken:
                pooled.invalidate()
            else:
                pooled.close()

    async def _begin(self, raw: DirectDriver) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._busy_seconds
        while True:
            try:
                raw.control("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or loop.time() >= give_up:
                    raise
                await asyncio.sleep(_BUSY_PAUSE_SECONDS)
            else:
                return


class _Transaction:
    """A transaction that units share. See `svckit.sql.sqlite.turns.Shared`.

    Attributes:
        ended: done when the transaction is committed or lost. Its result is what has failed; None if it is committed.
        committed: how many units have committed their part.
    """

    def __init__(self, raw: DirectDriver, thread: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self._raw = raw
        self._thread = thread
        self._began = self._loop.time()
        self.ended: asyncio.Future[Exception | None] = self._loop.create_future()
        self.committed = 0

    @property
    def is_full(self) -> bool:
        """See the protocol."""
        return self.is_lost or self.committed >= _MOST_UNITS or self._loop.time() >= self._began + _LONGEST_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether SQLite has rolled it back after an error, such as a full disk, or a rollback has failed."""
        return self._raw.is_broken or not self._raw.in_transaction

    def control(self, statement: str) -> None:
        """Executes a statement about the transaction.

        Raises:
            sqlite3.Error: it failed.
            WriteConflictError: the transaction is lost.
        """
        if self.is_lost:
            raise WriteConflictError
        self._raw.control(statement)

    def abandon(self) -> None:
        """Rolls everything back."""
        if not self.is_lost:
            try:
                self._raw.control("ROLLBACK")
            except sqlite3.Error:
                # SQLite rolls back what a closed connection has not committed.
                self._raw.is_broken = True
                self._raw.close()

    async def end(self) -> None:
        """See the protocol."""
        failure: Exception | None = None
        try:
            if self.is_lost:
                raise WriteConflictError
            # In a thread, because it waits for the disk. Readers see the units only after that.
            with sqlalchemy_errors():
                await wait_to_end(self._loop.run_in_executor(self._thread, self._raw.control, "COMMIT"))
        except asyncio.CancelledError:
            pass  # It is committed all the same.
        except Exception as error:  # the units raise it
            failure = error
            self.abandon()
        self.ended.set_result(failure)

    def failure_of_one(self) -> Exception | None:
        """What a unit raises after the end; None if the transaction is committed. Each unit has an error of its own."""
        failure = self.ended.result()
        if failure is None or self.committed == 1:
            return failure
        try:
            with domain_errors():
                raise failure
        except WriteConflictError:
            return WriteConflictError()
        except DomainError as error:
            return error
        except Exception:  # such as a constraint, and it is unknown of which unit
            return WriteConflictError()


class _Unit:
    """A unit in a transaction. Its caller has the turn until the unit is committed or rolled back."""

    def __init__(self, transaction: _Transaction, turns: Turns) -> None:
        self._transaction = transaction
        self._turns = turns
        # Whether it depends on what others have committed in this transaction. If not, it is rolled back as a whole.
        self._is_later = transaction.committed > 0
        self._is_over = False
        if self._is_later:
            transaction.control(f"SAVEPOINT {_SAVEPOINT}")

    async def commit(self) -> None:
        if self._is_later:
            self._transaction.control(f"RELEASE {_SAVEPOINT}")
        elif self._transaction.is_lost:
            raise WriteConflictError
        self._transaction.committed += 1
        self._is_over = True
        self._turns.pass_on()
        await wait_to_end(self._transaction.ended)
        failure = self._transaction.failure_of_one()
        if failure is not None:
            raise failure

    async def leave(self) -> None:
        """Undoes the unit, unless it is over, and waits until what it has seen of earlier units is durable.

        Otherwise its caller could hear of something, such as a tag that exists already, that a failure then undoes.

        Raises:
            WriteConflictError: what it has seen is lost.
        """
        if self._is_over:
            return
        is_lost_by_this = self._transaction.is_lost
        self.roll_back()
        if self._is_later and not is_lost_by_this:
            await wait_to_end(self._transaction.ended)
            if self._transaction.ended.result() is not None:
                raise WriteConflictError

    def roll_back(self) -> None:
        """Undoes the unit, unless it is over."""
        if self._is_over:
            return
        self._is_over = True
        if self._is_later:
            try:
                self._transaction.control(f"ROLLBACK TO {_SAVEPOINT}")
                self._transaction.control(f"RELEASE {_SAVEPOINT}")
            except (sqlite3.Error, WriteConflictError):
                self._transaction.abandon()
        else:
            self._transaction.abandon()
            self._turns.shared = None
        self._turns.pass_on()


class _UnitConnection(DirectConnection):
    """The connection of a unit."""

    __slots__ = ("_unit",)

    def __init__(
        self,
        async_engine: AsyncEngine,
        engine: Engine,
        pooled: PoolProxiedConnection,
        statements: CompiledStatements,
        unit: _Unit,
    ) -> None:
        super().__init__(async_engine, engine, pooled, statements)
        self._unit = unit

    async def commit(self) -> None:
        """Commits the unit, and ends it: no statement may follow. See `Database.write`."""
        await self._unit.commit()
        self.sync_connection = None
