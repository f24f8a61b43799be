"""Statements that the two databases spell differently, each built once.

Building an upsert costs a millisecond, most of it for `excluded`, which is more than most of them take to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import Executable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

S = TypeVar("S", bound=Executable)


class Prepared(Generic[S]):
    """A statement by dialect; a decorator for the function that builds it."""

    def __init__(self, build: Callable[[AsyncConnection], S]) -> None:
        """Takes what builds the statement for the dialect of a connection."""
        self._build = build
        self._built: dict[str, S] = {}

    def __call__(self, conn: AsyncConnection) -> S:
        """The statement for this connection."""
        statement = self._built.get(conn.dialect.name)
        if statement is None:
            statement = self._built[conn.dialect.name] = self._build(conn)
        return statement
