"""The statements that are sent to a database."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event


@contextmanager
def sent_statements(*verbs: str) -> Iterator[list[str]]:
    """What is sent to any database meanwhile. With verbs, such as SELECT, only statements that begin with one."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not verbs or statement.lstrip().upper().startswith(verbs):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
