"""The statements that are sent to a database."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from svckit.sql.sqlite.compiled import CompiledStatement


@contextmanager
def sent_statements(*verbs: str) -> Iterator[list[str]]:
    """What is sent to any database meanwhile. With verbs, such as SELECT, only statements that begin with one."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not verbs or statement.lstrip().upper().startswith(verbs):
            seen.append(statement)

    # Short statements of SQLite do not go through an engine.
    run = CompiledStatement.run

    def run_and_note(
        self: CompiledStatement, connection: sqlite3.Connection, *several: Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        note(None, None, self.sql)
        return run(self, connection, *several)

    event.listen(Engine, "before_cursor_execute", note)
    CompiledStatement.run = run_and_note  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        CompiledStatement.run = run  # type: ignore[method-assign]
        event.remove(Engine, "before_cursor_execute", note)
