"""PostgreSQL through psycopg: a bounded pool that notices by itself when the server was restarted."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import URL, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from svckit.sql.database import Database, Dialect, WritingConnection
from svckit.sql.errors import domain_errors
from svckit.sql.statements import advisory_xact_lock

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

_CONNECT_SECONDS = 5
# A peer that vanished without a word (a cut cable, a failover) is noticed after about a minute.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# No unit waits for anything but the database, so one that is silent for this long has lost its process. Without this
# its locks would stay until the connection is found dead.
_IDLE_TRANSACTION_SECONDS = 60


class PostgresqlDatabase(Database):
    """A schema of a PostgreSQL database."""

    dialect: ClassVar[Dialect] = "postgresql"

    def __init__(self, engine: AsyncEngine, schema: str | None) -> None:
        self._engine = engine
        self._schema = schema
        # Views of the same pool. psycopg keeps these on its side and sends them with the BEGIN that it sends anyway;
        # under AUTOCOMMIT it sends none.
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
            # The connection that was used last has its caches and its prepared statements warm.
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
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """See `Database.read`."""
        with domain_errors():
            async with AsyncConnection(self._snapshot if snapshot else self._autocommit) as conn:
                yield conn

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.write`."""
        with domain_errors():
            async with WritingConnection(self._engine) as conn:
                yield conn

    @asynccontextmanager
    async def change_schema(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.change_schema`."""
        async with self.write() as conn:
            # Replicas that start together would otherwise run the same migration twice, and even CREATE SCHEMA IF NOT
            # EXISTS fails when two do it at once.
            await advisory_xact_lock(conn, "change schema")
            if self._schema is not None:
                # Asked for first, because the right to create schemas is needed only where it is missing.
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
        await self._engine.dispose()


def _refuse_dead(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Lets the pool replace a connection that the server has closed while it lay idle."""
    # SQLAlchemy's pre-ping asks the server, a round trip for every unit; a socket tells for nothing that it was closed.
    if _is_dead(dbapi_connection.driver_connection.pgconn):
        raise DisconnectionError


def _is_dead(connection: "PGconn") -> bool:
    from psycopg import OperationalError

    poll = select.poll()
    poll.register(connection.socket, select.POLLIN)
    try:
        # Bytes that nobody asked for are a notice, a changed setting, or the server's last words before the end of the
        # stream. libpq tells them apart, at the latest when it reads the end.
        while poll.poll(0):
            connection.consume_input()
    except OperationalError:
        return True
    return False
