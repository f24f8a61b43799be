"""Short statements of a writing unit of SQLite, on the thread of the event loop.

Its connection has a thread of its own, because BEGIN and COMMIT wait for the disk. All other statements of a push only
touch pages in memory, and take less time than the way to that thread and back.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncEngine

from svckit.sql.database import ShortValues, WritingConnection
from svckit.sql.sqlite.compiled import CompiledStatements, is_short
from svckit.sql.sqlite.direct import sqlalchemy_errors
from svckit.sql.sqlite.threaded import ThreadedConnection


class SqliteWriter(WritingConnection):
    """The connection of a writing unit."""

    __slots__ = ("_statements",)

    def __init__(self, engine: AsyncEngine, statements: CompiledStatements) -> None:
        """Takes the engine of the one writer, and what compiles short statements."""
        super().__init__(engine)
        self._statements = statements

    async def run_short(self, statement: Executable, values: ShortValues) -> Sequence[Any]:
        """Runs a short statement on this thread. The unit waits for its statements, so its own thread is idle."""
        several = [values] if isinstance(values, Mapping) else values
        if not several or not is_short(*several):
            return await super().run_short(statement, values)
        driver = cast("ThreadedConnection", self._proxied.connection.driver_connection)
        compiled = self._statements.compiled(statement, several[0])
        with sqlalchemy_errors(compiled.sql):
            return compiled.run(driver.idle, *several)
