"""PostgreSQL through psycopg, with a bounded pool that detects a restart of the server."""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import URL, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from svckit.sql.database import Database, Dialect, WritingConnection, run_to_completion
from svckit.sql.errors import domain_errors
from svckit.sql.statements import advisory_xact_lock

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

_CONNECT_SECONDS = 5
# A server that disappears without closing its connections (broken network, failover) is detected after about a minute.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# A unit of work waits for nothing but the database. If it is idle for this long, its process is gone. Without this
# time-out its locks would stay until the dead connection is detected.
_IDLE_TRANSACTION_SECONDS = 60


class PostgresqlDatabase(Database):
    """A schema of a PostgreSQL database."""

    dialect: ClassVar[Dialect] = "postgresql"

    def __init__(self, engine: AsyncEngine, schema: str | None) -> None:
        self._engine = engine
        self._schema = schema
        # Tasks that give back what cancelled callers have taken from the pool.
        self._left_behind: set[asyncio.Task[None]] = set()
        # These two use the same pool with other options. They cost no round trip: psycopg sends the options together
        # with BEGIN, and with AUTOCOMMIT it sends no BEGIN.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @classmethod
    async def connect(
        cls, address: URL, *, schema: str | None, pool_size: int, wait_seconds: float
    ) -> "PostgresqlDatabase":
        """Opens the pool and one connection. See `svckit.sql.opening`."""
        options = [f"-c idle_in_transaction_session_timeout={_IDLE_TRANSACTION_SECONDS}s"]
        if schema is not None:
            options.append(f"-c search_path={schema}")
        given = address.query.get("options", ())
        options += [given] if isinstance(given, str) else given
        engine = create_async_engine(
            address.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
            connect_args={"options": " ".join(options), "connect_timeout": _CONNECT_SECONDS, **_KEEPALIVE},
            isolation_level="READ COMMITTED",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=wait_seconds,
            # The connection that was used last has warm caches and prepared statements.
            pool_use_lifo=True,
            hide_parameters=True,
            skip_autocommit_rollback=True,
            use_native_hstore=False,
        )
        event.listen(engine.sync_engine, "checkout", _refuse_dead)
        database = cls(engine, schema)
        try:
            await database.ping()
        except BaseException:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False, short: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Database.read`."""
        with domain_errors():
            async with self._opened(AsyncConnection(self._snapshot if snapshot else self._autocommit)) as conn:
                yield conn

    @asynccontextmanager
    async def write(self, *, short: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Database.write`."""
        with domain_errors():
            async with self._opened(WritingConnection(self._engine)) as conn:
                yield conn

    @asynccontextmanager
    async def change_schema(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.change_schema`."""
        async with self.write() as conn:
            # Without the lock, replicas that start together would run the same migration twice. Even CREATE SCHEMA IF
            # NOT EXISTS fails when two sessions run it at the same time.
            await advisory_xact_lock(conn, "change schema")
            if self._schema is not None:
                # Checked first, so that the right to create schemas is only needed if the schema is missing.
                known = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
                if await conn.scalar(known, {"name": self._schema}) is None:
                    await conn.execute(text(f'CREATE SCHEMA "{self._schema}"'))
            yield conn

    async def ping(self) -> None:
        """See `Database.ping`."""
        async with self.read() as conn:
            await conn.execute(text("SELECT 1"))

    async def close(self) -> None:
        """See `Database.close`."""
        if self._left_behind:
            await asyncio.wait(self._left_behind)
        await self._engine.dispose()

    @asynccontextmanager
    async def _opened(self, conn: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        """Takes a connection from the pool, and gives it back at the end of the block."""
        # If a caller is cancelled while SQLAlchemy takes a connection from the pool, nobody has it, and it is not given
        # back but collected as garbage. So the caller goes, and leaves it to a task.
        starting = asyncio.ensure_future(conn.start())
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            giving_back = asyncio.create_task(_give_back(conn, starting))
            self._left_behind.add(giving_back)
            giving_back.add_done_callback(self._left_behind.discard)
            raise
        try:
            yield conn
        finally:
            await run_to_completion(conn.close())


async def _give_back(conn: AsyncConnection, starting: "asyncio.Future[AsyncConnection]") -> None:
    await asyncio.wait({starting})
    # An error is nobody's any more, and then there is no connection to give back.
    if not starting.cancelled() and starting.exception() is None:
        await conn.close()


def _refuse_dead(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Makes the pool replace a connection that the server has closed while it was idle."""
    # SQLAlchemy's pre-ping costs a round trip for every unit. Looking at the socket costs none.
    if _is_dead(dbapi_connection.driver_connection.pgconn):
        raise DisconnectionError


def _is_dead(connection: "PGconn") -> bool:
    from psycopg import OperationalError

    poll = select.poll()
    poll.register(connection.socket, select.POLLIN)
    try:
        # Unexpected bytes are a notice, a changed setting, or the server's last message before it closes the stream.
        # libpq distinguishes them, at the latest when it reads the end of the stream.
        while poll.poll(0):
            connection.consume_input()
    except OperationalError:
        return True
    return False
