"""Short queries of SQLite, on the thread of the event loop.

A query by unique indexes takes 20 µs. SQLAlchemy's pool, and the way to another thread and back take ten times as long.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, Executable, PoolProxiedConnection, Select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from svckit.sql.database import ShortValues, run_short
from svckit.sql.sqlite.compiled import CompiledStatements
from svckit.sql.sqlite.direct import DirectConnection, direct_engine, driver


class ShortReads:
    """Runs queries on a connection of its own. The thread that uses it first must be the only one."""

    def __init__(self, path: Path, engine: AsyncEngine, statements: CompiledStatements) -> None:
        """Connects with the first query.

        Args:
            path: the file.
            engine: that of the other reading units. It takes what would have to wait here.
            statements: compiles the queries.
        """
        self._async_engine = engine
        self._engine = direct_engine(path, query_only=True)
        self._pooled: PoolProxiedConnection | None = None
        self._statements = statements
        self._is_closed = False

    def fetch(self, query: Select[Any], values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            sqlite3.Error: the query failed, or it would have to wait.
        """
        return self._statements.compiled(query, values).run(driver(self._connected()), values)

    def unit(self) -> AsyncConnection | None:
        """The connection of a unit that reads; None if there can be none now. It need not be closed."""
        try:
            pooled = self._connected()
        except sqlite3.Error:
            return None
        return _ReadingConnection(self._async_engine, self._engine, pooled, self._statements)

    def close(self) -> None:
        """Closes the connection, for good. May be called again."""
        self._is_closed = True
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def _connected(self) -> PoolProxiedConnection:
        if self._is_closed:
            raise sqlite3.ProgrammingError("the database is closed")
        if self._pooled is None:
            self._pooled = self._engine.raw_connection()
        return self._pooled


class _ReadingConnection(DirectConnection):
    """A connection that goes another way if a statement would have to wait."""

    __slots__ = ()

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        execution_options: Mapping[str, Any] | None = None,
    ) -> CursorResult[Any]:
        try:
            return await super().execute(statement, parameters, execution_options=execution_options)
        except OperationalError:
            # The file may be locked for a moment. If there is more to it, the other way says what.
            async with AsyncConnection(self.engine) as conn:
                return await conn.execute(statement, parameters, execution_options=execution_options)

    async def run_short(self, statement: Executable, values: ShortValues) -> Sequence[Any]:
        try:
            return await super().run_short(statement, values)
        except OperationalError:
            async with AsyncConnection(self.engine) as conn:
                return await run_short(conn, statement, values)
