"""Short queries of SQLite, on the thread of the event loop.

A query by unique indexes takes 20 µs. SQLAlchemy, its pool, and the way to another thread and back take ten times as
long.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Select
from sqlalchemy.sql.compiler import SQLCompiler

_Process = Callable[[Any], Any] | None


class ShortReads:
    """Runs queries on a connection of its own. The thread that uses it first must be the only one."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], dialect: Dialect) -> None:
        """Connects with the first query.

        Args:
            connect: opens a connection that only reads, and that does not wait for locks.
            dialect: SQLAlchemy's, for the types of columns.
        """
        self._connect = connect
        self._dialect = dialect
        self._connection: sqlite3.Connection | None = None
        self._prepared: dict[Select[Any], _Prepared] = {}
        self._is_closed = False

    def fetch(self, query: Select[Any], values: Mapping[str, object]) -> list[list[Any]]:
        """All rows of a query.

        Raises:
            sqlite3.Error: the query failed, or it would have to wait.
        """
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = _Prepared(query, self._dialect)
        if self._is_closed:
            raise sqlite3.ProgrammingError("the database is closed")
        if self._connection is None:
            self._connection = self._connect()
        rows = self._connection.execute(prepared.sql, prepared.parameters(values)).fetchall()
        return [prepared.row(row) for row in rows]

    def close(self) -> None:
        """Closes the connection, for good. May be called again."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Prepared:
    """A query as SQLite takes it. It is compiled once."""

    __slots__ = ("_fixed", "_names", "_of_columns", "_of_parameters", "sql")

    def __init__(self, query: Select[Any], dialect: Dialect) -> None:
        compiled: SQLCompiler = query.compile(dialect=dialect)
        if compiled.positiontup is None:
            raise TypeError("SQLite takes its parameters by position")
        self.sql = str(compiled)
        self._names = compiled.positiontup
        self._fixed = compiled.params
        self._of_parameters: list[_Process] = [
            compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in self._names
        ]
        self._of_columns: list[_Process] = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in query.selected_columns
        ]

    def parameters(self, values: Mapping[str, object]) -> list[Any]:
        fixed = self._fixed
        return [
            value if process is None else process(value)
            for value, process in zip(
                (values[name] if name in values else fixed[name] for name in self._names),
                self._of_parameters,
                strict=True,
            )
        ]

    def row(self, row: Sequence[Any]) -> list[Any]:
        return [
            value if process is None else process(value) for value, process in zip(row, self._of_columns, strict=True)
        ]
