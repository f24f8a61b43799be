"""Statements that differ between the two databases. Each is built once.

To build an upsert takes about a millisecond, mostly for `excluded`. That is longer than most of them run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import Executable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

S = TypeVar("S", bound=Executable)


class Prepared(Generic[S]):
    """A decorator for a function that builds a statement. It keeps one statement for each dialect."""

    def __init__(self, build: Callable[[AsyncConnection], S]) -> None:
        """Takes the function that builds the statement for the dialect of a connection."""
        self._build = build
        self._built: dict[str, S] = {}

    def __call__(self, conn: AsyncConnection) -> S:
        """The statement for this connection."""
        statement = self._built.get(conn.dialect.name)
        if statement is None:
            statement = self._built[conn.dialect.name] = self._build(conn)
        return statement
