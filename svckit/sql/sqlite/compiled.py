"""Statements as SQLite takes them: compiled once, and run without SQLAlchemy.

A short statement takes SQLite 5 to 20 µs. SQLAlchemy takes ten times as long to run it, and as much again to send it to
another thread and to get the answer.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import Select

_Process = Callable[[Any], Any] | None

_MOST_VALUES = 64
_MOST_BYTES = 64 * 1024


class CompiledStatements:
    """Compiles each statement once, for each set of parameters that it gets."""

    def __init__(self, dialect: Dialect) -> None:
        """Takes SQLAlchemy's dialect, for the types of columns."""
        self._dialect = dialect
        self._compiled: dict[tuple[Executable, tuple[str, ...]], CompiledStatement] = {}

    def compiled(self, statement: Executable, values: Mapping[str, object]) -> "CompiledStatement":
        """A statement that gets these parameters.

        Raises:
            TypeError: a parameter has no value, or SQLAlchemy would have to add values of its own, such as a column's
                default.
        """
        key = (statement, tuple(values))
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = CompiledStatement(statement, list(values), self._dialect)
        return found


class CompiledStatement:
    """One statement.

    Attributes:
        sql: its text.
    """

    __slots__ = ("_compiler", "_fixed", "_is_expanded", "_of_columns", "_of_names", "_of_parameters", "_row", "sql")

    def __init__(self, statement: Executable, given: Sequence[str], dialect: Dialect) -> None:
        """See `CompiledStatements`."""
        # As SQLAlchemy does it: an insert has the columns that are given.
        compiler = cast("ClauseElement", statement).compile(dialect=dialect, column_keys=sorted(given))
        if not isinstance(compiler, SQLCompiler) or compiler.positiontup is None:
            raise TypeError("SQLite takes its parameters by position")
        if compiler.insert_prefetch or compiler.update_prefetch:
            raise TypeError("a column has a default that SQLAlchemy computes; give its value")
        if missing := [name for name in compiler.positiontup if compiler.binds[name].required and name not in given]:
            raise TypeError(f"no values for {', '.join(missing)}")
        self._compiler = compiler
        self.sql = str(compiler)
        self._fixed = compiler.params
        # Lists (IN) have as many parameters as values.
        self._is_expanded = bool(compiler.post_compile_params)
        # In the order of their positions. A name may have several.
        self._of_parameters: list[tuple[str, _Process]] = [
            (name, compiler.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiler.positiontup
        ]
        self._of_names = dict(self._of_parameters)
        columns = _columns(statement)
        self._of_columns: list[_Process] = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        # Expressions without a label have no name.
        names = [column.key or "" for column in columns]
        self._row = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - names come at run time

    def run(self, connection: sqlite3.Connection, *several: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Runs it with each set of parameters, and returns the rows of all as named tuples. It blocks.

        Raises:
            sqlite3.Error: it failed.
        """
        rows: list[tuple[Any, ...]] = []
        for values in several:
            sql, parameters = self._expanded(values) if self._is_expanded else (self.sql, self._positional(values))
            found = connection.execute(sql, parameters).fetchall()
            rows += [self._row(*map(_processed, self._of_columns, row)) for row in found]
        return rows

    def _positional(self, values: Mapping[str, object]) -> list[Any]:
        fixed = self._fixed
        return [
            _processed(process, values[name] if name in values else fixed[name])
            for name, process in self._of_parameters
        ]

    def _expanded(self, values: Mapping[str, object]) -> tuple[str, list[Any]]:
        state = self._compiler.construct_expanded_state({**self._fixed, **values})
        processes: dict[str, Any] = {**self._of_names, **state.processors}
        names: Sequence[str] = state.positiontup or ()
        return state.statement, [_processed(processes.get(name), state.parameters[name]) for name in names]


def _columns(statement: Executable) -> Sequence[ColumnElement[Any]]:
    """The columns of the rows that a statement returns."""
    if isinstance(statement, Select | UpdateBase):
        return list(statement.exported_columns)
    return ()


def _processed(process: _Process, value: Any) -> Any:
    return value if process is None else process(value)


def is_short(*several: Mapping[str, object]) -> bool:
    """Whether a short statement stays short with these sets of parameters: with so many, and with such lists and texts.

    Otherwise it must not run on the thread of the event loop.
    """
    return len(several) <= _MOST_VALUES and all(_is_small(value) for values in several for value in values.values())


def _is_small(value: object) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= _MOST_VALUES
    return not isinstance(value, bytes | str) or len(value) <= _MOST_BYTES
