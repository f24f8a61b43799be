"""Short queries of SQLite, on the thread of the event loop.

A query by unique indexes takes 20 µs. SQLAlchemy, its pool, and the way to another thread and back take ten times as
long.
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select

from svckit.sql.compiled import CompiledStatements


class ShortReads:
    """Runs queries on a connection of its own. The thread that uses it first must be the only one."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], statements: CompiledStatements) -> None:
        """Connects with the first query.

        Args:
            connect: opens a connection that only reads, and that does not wait for locks.
            statements: compiles the queries.
        """
        self._connect = connect
        self._statements = statements
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False

    def fetch(self, query: Select[Any], values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            sqlite3.Error: the query failed, or it would have to wait.
        """
        if self._is_closed:
            raise sqlite3.ProgrammingError("the database is closed")
        if self._connection is None:
            self._connection = self._connect()
        return self._statements.compiled(query, values).run(self._connection, values)

    def close(self) -> None:
        """Closes the connection, for good. May be called again."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None
