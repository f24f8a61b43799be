"""The statements that are sent to a database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Select, event

from svckit.sql.short_reads import ShortReads


@contextmanager
def sent_statements(*verbs: str) -> Iterator[list[str]]:
    """What is sent to any database meanwhile. With verbs, such as SELECT, only statements that begin with one."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not verbs or statement.lstrip().upper().startswith(verbs):
            seen.append(statement)

    # Short reads of SQLite do not go through an engine.
    fetch = ShortReads.fetch

    def fetch_and_note(self: ShortReads, query: Select[Any], values: Mapping[str, object]) -> list[list[Any]]:
        note(None, None, str(query))
        return fetch(self, query, values)

    event.listen(Engine, "before_cursor_execute", note)
    ShortReads.fetch = fetch_and_note  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        ShortReads.fetch = fetch  # type: ignore[method-assign]
        event.remove(Engine, "before_cursor_execute", note)
