"""Connections whose statements run at once, on the thread that asks for them: that of the event loop.

A short statement takes 20 µs so. Through another thread and back it takes five times as long.
"""

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Engine, Executable, PoolProxiedConnection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from svckit.sql.database import ShortConnection, ShortValues
from svckit.sql.sqlite.compiled import CompiledStatements
from svckit.sql.sqlite.connecting import connect


def direct_engine(path: Path, *, query_only: bool) -> Engine:
    """Opens such connections. Their statements never wait for a lock, because they would hold up the whole process."""
    return create_engine(
        "sqlite+pysqlite://",
        creator=lambda: connect(path, DirectDriver, query_only=query_only, busy_seconds=0.0),
        poolclass=NullPool,
        hide_parameters=True,
    )


def driver(pooled: PoolProxiedConnection) -> "DirectDriver":
    """The connection itself. It must not be closed."""
    return cast("DirectDriver", pooled.dbapi_connection)


class DirectConnection(ShortConnection):
    """A connection of a unit, without a switch to a thread or a greenlet."""

    __slots__ = ("_driver", "_statements")

    def __init__(
        self, async_engine: AsyncEngine, engine: Engine, pooled: PoolProxiedConnection, statements: CompiledStatements
    ) -> None:
        """Takes an open connection, which stays open.

        Args:
            async_engine: for whoever asks for the engine.
            engine: that of the connection.
            pooled: the connection. SQLAlchemy's transaction on it is never ended, and means nothing.
            statements: compiles short statements.
        """
        super().__init__(async_engine, Connection(engine, connection=pooled))
        self._driver = driver(pooled)
        self._statements = statements

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        execution_options: Mapping[str, Any] | None = None,
    ) -> CursorResult[Any]:
        """As SQLAlchemy says. The result is in memory."""
        return self._proxied.execute(statement, parameters, execution_options=execution_options)

    async def exec_driver_sql(
        self, statement: str, parameters: Any = None, execution_options: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """As SQLAlchemy says. The result is in memory."""
        return self._proxied.exec_driver_sql(statement, parameters, execution_options)

    async def run_short(self, statement: Executable, values: ShortValues) -> Sequence[Any]:
        """See `svckit.sql.database.run_short`."""
        self._proxied  # noqa: B018 - it raises if the unit has ended
        several = [values] if isinstance(values, Mapping) else values
        if not several:
            return ()
        compiled = self._statements.compiled(statement, several[0])
        with sqlalchemy_errors(compiled.sql):
            return compiled.run(self._driver, *several)


@contextmanager
def sqlalchemy_errors(statement: str | None = None) -> Iterator[None]:
    """Turns errors of statements that do not go through SQLAlchemy into those that it would raise."""
    try:
        yield
    except sqlite3.Error as error:
        raise DBAPIError.instance(statement, None, error, sqlite3.Error, hide_parameters=True) from error


class DirectDriver(sqlite3.Connection):
    """A connection whose statements are refused when it has no transaction.

    SQLite ends a transaction after some errors. If the unit went on then, each statement would be a transaction.

    Attributes:
        needs_transaction: whether statements are refused.
        is_broken: whether it must not be used any more, because its state is unknown.
    """

    needs_transaction = False
    is_broken = False

    def cursor(self, factory: Any = None) -> Any:
        """A cursor that fetches at once."""
        return super().cursor(_Cursor)

    def control(self, statement: str) -> None:
        """Executes a statement about transactions."""
        super().execute(statement).close()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Executes a statement of a unit. The caller fetches all rows."""
        self.require_transaction()
        return super().execute(sql, parameters)

    def require_transaction(self) -> None:
        """Refuses a statement if it would be a transaction of its own."""
        if self.needs_transaction and not self.in_transaction:
            raise sqlite3.OperationalError("the transaction was rolled back after an error")


class _Cursor(sqlite3.Cursor):
    """A cursor that fetches the whole result at once: a statement whose result is not read would hinder the commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._driver = cast("DirectDriver", connection)
        self._rows: deque[Any] = deque()

    def execute(self, sql: str, parameters: Any = (), /) -> "_Cursor":
        self._driver.require_transaction()
        super().execute(sql, parameters)
        if self.description is not None:
            self._rows = deque(super().fetchall())
        return self

    def executemany(self, sql: str, parameters: Any, /) -> "_Cursor":
        self._driver.require_transaction()
        super().executemany(sql, parameters)
        return self

    def fetchone(self) -> Any:
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        count = min(self.arraysize if size is None else size, len(self._rows))
        return [self._rows.popleft() for _ in range(count)]

    def fetchall(self) -> list[Any]:
        rows, self._rows = list(self._rows), deque()
        return rows
