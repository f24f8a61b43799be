"""What is PostgreSQL's own: connections that die, and transactions that meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import make_url, select, text, update

from svckit.errors import DomainError
from svckit.sql.database import Database
from svckit.sql.errors import WriteConflictError, retry_conflicts
from svckit.sql.migrate import migrate
from svckit.sql.opening import open_database
from tests.harness.databases import SCHEMA
from tests.unit.svckit.sql import migrations
from tests.unit.svckit.sql.tables import account

pytestmark = pytest.mark.postgres


class Road:
    """A way to the server that may be closed: what a restart looks like from a client."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        with suppress(OSError):
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def opened(postgres_database: str) -> AsyncIterator[Database]:
    database = await open_database(postgres_database, schema=SCHEMA, pool_size=5)
    yield database
    await database.close()


@pytest.fixture
async def bank(opened: Database) -> Database:
    await migrate(opened, migrations)
    async with opened.write() as conn:
        await conn.execute(account.insert(), [{"name": name, "balance": 0} for name in "ab"])
        await conn.commit()
    return opened


async def test_the_tables_lie_in_the_schema(bank: Database) -> None:
    async with bank.read() as conn:
        assert await conn.scalar(text('SELECT count(*) FROM service."account"')) == 2


async def test_two_services_share_a_database(bank: Database, postgres_database: str) -> None:
    other = await open_database(postgres_database, schema="another", pool_size=2)
    await migrate(other, migrations)
    async with other.read() as conn:
        assert await conn.scalar(select(account.c.id)) is None
    await other.close()


async def test_connections_that_the_server_ended_are_replaced_unnoticed(opened: Database) -> None:
    async with opened.read() as one, opened.read() as two, opened.read() as three:
        for conn in (one, two, three):
            await conn.execute(text("SELECT 1"))
    async with opened.read() as conn:
        ended = await conn.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        assert ended.scalars().all() == [True, True]
    async with opened.read() as one, opened.read() as two, opened.write() as three:
        for conn in (one, two, three):
            assert await conn.scalar(text("SELECT 1")) == 1


async def test_a_server_that_went_away_is_unavailable_and_comes_back(postgres_database: str) -> None:
    address = make_url(postgres_database)
    road = Road(address.host or "", address.port or 0)
    await road.open()
    through = address.set(port=road.port).render_as_string(hide_password=False)
    database = await open_database(through, schema=SCHEMA, pool_size=3)

    async def lose_the_server() -> None:
        async with database.write() as conn:
            await conn.execute(text("SELECT 1"))
            await road.close()
            await conn.execute(text("SELECT 1"))

    try:
        async with asyncio.timeout(20):
            with pytest.raises(DomainError) as caught:
                await lose_the_server()
            assert caught.value.reason == "UNAVAILABLE"
            for unit in (database.read, database.write):
                with pytest.raises(DomainError) as caught:
                    async with unit() as conn:
                        await conn.execute(text("SELECT 1"))
                assert caught.value.reason == "UNAVAILABLE"
                assert caught.value.retry_after_seconds
            await road.open()
            async with database.read() as conn:
                assert await conn.scalar(text("SELECT 1")) == 1
    finally:
        await database.close()
        await road.close()


async def test_opening_without_a_server_is_unavailable(postgres_database: str) -> None:
    address = make_url(postgres_database).set(port=1).render_as_string(hide_password=False)
    with pytest.raises(DomainError) as caught:
        await open_database(address)
    assert caught.value.reason == "UNAVAILABLE"


async def test_a_read_needs_no_transaction(bank: Database) -> None:
    async with bank.read() as reader:
        await reader.execute(select(account))
        pid = await reader.scalar(text("SELECT pg_backend_pid()"))
        async with bank.read() as watcher:
            state = await watcher.scalar(text("SELECT state FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid})
    assert state == "idle"


class Meeting:
    """Lets both transactions take their first lock before either asks for its second. Later ones just pass."""

    def __init__(self) -> None:
        self._came = 0
        self._both = asyncio.Event()

    async def wait(self) -> None:
        self._came += 1
        if self._came == 2:
            self._both.set()
        await self._both.wait()


async def _move(database: Database, source: str, target: str, meeting: Meeting) -> None:
    async with database.write() as conn:
        await conn.execute(update(account).where(account.c.name == source).values(balance=account.c.balance - 1))
        await meeting.wait()
        await conn.execute(update(account).where(account.c.name == target).values(balance=account.c.balance + 1))
        await conn.commit()


async def test_a_deadlock_is_a_conflict(bank: Database) -> None:
    meeting = Meeting()
    outcomes = await asyncio.gather(
        _move(bank, "a", "b", meeting), _move(bank, "b", "a", meeting), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "WriteConflictError"]


async def test_work_that_met_a_conflict_is_done_again(bank: Database) -> None:
    meeting = Meeting()
    await asyncio.gather(
        retry_conflicts(lambda: _move(bank, "a", "b", meeting)),
        retry_conflicts(lambda: _move(bank, "b", "a", meeting)),
    )
    async with bank.read() as conn:
        assert (await conn.execute(select(account.c.balance))).scalars().all() == [0, 0]


async def test_conflicts_that_do_not_end_reach_the_caller() -> None:
    calls = 0

    async def conflict() -> None:
        nonlocal calls
        calls += 1
        raise WriteConflictError

    with pytest.raises(DomainError) as caught:
        await retry_conflicts(conflict, attempts=3)
    assert calls == 3
    assert caught.value.reason == "UNAVAILABLE"


async def test_a_text_that_it_does_not_take_is_a_bad_request_and_ends_no_connection(bank: Database) -> None:
    with pytest.raises(DomainError) as caught:
        async with bank.read() as conn:
            await conn.execute(select(account.c.balance).where(account.c.name == "a\0"))
    assert caught.value.reason == "BAD_REQUEST"
    async with bank.read() as conn:
        assert (await conn.scalars(select(account.c.balance).where(account.c.name == "a"))).all() == [0]


async def test_a_failed_statement_is_not_taken_for_a_dead_server(opened: Database) -> None:
    with pytest.raises(Exception, match="nowhere") as caught:
        async with opened.read() as conn:
            await conn.execute(text("SELECT * FROM nowhere"))
    assert not isinstance(caught.value, DomainError)
