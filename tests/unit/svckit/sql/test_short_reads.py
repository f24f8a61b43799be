"""Short queries without a unit: the same answers as in a unit, on both databases."""

import sqlite3
from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import DBAPIError

from svckit.errors import DomainError
from svckit.sql.database import Database, run_short
from svckit.sql.sqlite.database import SqliteDatabase
from svckit.sql.sqlite.threaded import ThreadedConnection
from tests.unit.svckit.sql.tables import account

ALL = select(account.c.name, account.c.balance, account.c.labels, account.c.seen_time).where(
    account.c.name == bindparam("name")
)
SEEN = select(account.c.balance).where(account.c.seen_time >= bindparam("since", type_=account.c.seen_time.type))
NOON = datetime(2026, 1, 2, 12, 0, 0, 250, tzinfo=UTC)


async def change(database: Database, **values: object) -> None:
    async with database.write() as conn:
        await conn.execute(update(account).values(**values))
        await conn.commit()


async def test_values_have_the_types_that_a_unit_gives(bank: Database) -> None:
    await change(bank, balance=2**40, labels={"a": [1, None]}, seen_time=NOON)

    (row,) = await bank.fetch(ALL, {"name": "a"})

    async with bank.read() as conn:
        assert tuple(row) == tuple((await conn.execute(ALL, {"name": "a"})).one())
    assert tuple(row) == ("a", 2**40, {"a": [1, None]}, NOON)
    assert list(await bank.fetch(ALL, {"name": "b"})) == []


async def test_parameters_are_converted_too(bank: Database) -> None:
    await change(bank, balance=3, seen_time=NOON)

    assert [tuple(row) for row in await bank.fetch(SEEN, {"since": NOON})] == [(3,)]
    assert list(await bank.fetch(SEEN, {"since": NOON.replace(hour=13)})) == []


async def test_each_query_sees_every_commit_before_it_and_nothing_that_is_not_committed(bank: Database) -> None:
    for number in range(50):
        await change(bank, balance=number)
        assert [row[1] for row in await bank.fetch(ALL, {"name": "a"})] == [number]
    async with bank.write() as conn:
        await conn.execute(update(account).values(balance=1000))
        assert [row[1] for row in await bank.fetch(ALL, {"name": "a"})] == [49]


async def test_a_short_unit_reads_as_another_one(bank: Database) -> None:
    await change(bank, balance=2**40, labels={"a": [1, None]}, seen_time=NOON)

    async with bank.read(short=True) as conn, bank.read() as other:
        for name in ("a", "b"):
            found = (await conn.execute(ALL, {"name": name})).all()
            assert found == (await other.execute(ALL, {"name": name})).all()
        assert await conn.scalar(ALL.with_only_columns(account.c.balance), {"name": "a"}) == 2**40


async def test_a_short_unit_sees_every_commit_before_each_statement(bank: Database) -> None:
    async with bank.read(short=True) as conn:
        for number in range(20):
            await change(bank, balance=number)
            assert [row.balance for row in await conn.execute(ALL, {"name": "a"})] == [number]


async def test_a_short_unit_that_wants_a_snapshot_has_one(bank: Database) -> None:
    async with bank.read(snapshot=True, short=True) as conn:
        (before,) = await conn.execute(ALL, {"name": "a"})
        await change(bank, balance=before.balance + 1)
        assert [row.balance for row in await conn.execute(ALL, {"name": "a"})] == [before.balance]


async def test_after_the_end_there_are_none(bank: Database) -> None:
    await bank.fetch(ALL, {"name": "a"})
    if isinstance(bank, SqliteDatabase):
        await bank.close()
        with pytest.raises(sqlite3.ProgrammingError):
            bank._short_reads.fetch(ALL, {"name": "a"})


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
class TestSqlite:
    """What is different there: the query runs on the thread of the event loop."""

    @pytest.fixture
    def sqlite(self, bank: Database) -> SqliteDatabase:
        assert isinstance(bank, SqliteDatabase)
        return bank

    async def test_a_query_that_would_have_to_wait_goes_the_other_way(
        self, sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*_: object) -> None:
            raise sqlite3.OperationalError("database is locked")

        monkeypatch.setattr(sqlite._short_reads, "fetch", busy)

        assert [row[0] for row in await sqlite.fetch(ALL, {"name": "a"})] == ["a"]

    async def test_an_error_is_raised_as_by_a_unit(self, sqlite: SqliteDatabase) -> None:
        await change(sqlite, labels={})
        broken = select(func.json_extract(account.c.name, "$")).where(account.c.name == bindparam("name"))

        with pytest.raises(Exception, match="malformed JSON") as caught:
            await sqlite.fetch(broken, {"name": "a"})

        async with sqlite.read() as conn:
            with pytest.raises(type(caught.value)):
                await conn.execute(broken, {"name": "a"})
        assert not isinstance(caught.value, sqlite3.Error | DomainError)

    async def test_it_cannot_write(self, sqlite: SqliteDatabase) -> None:
        await sqlite.fetch(ALL, {"name": "a"})
        with pytest.raises(DBAPIError, match="readonly"):
            async with sqlite.read(short=True) as conn:
                await conn.execute(update(account).values(balance=1))

    async def test_a_short_unit_uses_no_thread(self, sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("a thread was asked")

        monkeypatch.setattr(ThreadedConnection, "run", refuse)
        async with sqlite.read(short=True) as conn:
            assert [row.name for row in await conn.execute(ALL, {"name": "a"})] == ["a"]

    @pytest.mark.parametrize("was_open", [False, True])
    async def test_a_short_unit_that_would_have_to_wait_goes_the_other_way(
        self, sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, was_open: bool
    ) -> None:
        def busy(*_: object) -> None:
            raise sqlite3.OperationalError("database is locked")

        if was_open:
            await sqlite.fetch(ALL, {"name": "a"})
        monkeypatch.setattr("svckit.sql.sqlite.direct._Cursor.execute", busy)
        async with sqlite.read(short=True) as conn:
            result = await conn.execute(ALL, {"name": "a"})
            assert [row.name for row in result] == ["a"]
            assert [row.name for row in await run_short(conn, ALL, {"name": "a"})] == ["a"]

    async def test_a_short_unit_whose_other_way_fails_too_says_what_is_wrong(
        self, sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*_: object) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

        monkeypatch.setattr("svckit.sql.sqlite.direct._Cursor.execute", busy)
        monkeypatch.setattr(ThreadedConnection, "run", busy)
        with pytest.raises(DomainError) as caught:
            async with sqlite.read(short=True) as conn:
                await conn.execute(ALL, {"name": "a"})
        assert caught.value.reason == "UNAVAILABLE"
