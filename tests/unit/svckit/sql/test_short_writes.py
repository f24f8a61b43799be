"""Short statements of a writing unit: the same rows, errors and effects as by SQLAlchemy, on both databases."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from svckit.errors import DomainError
from svckit.sql.database import Database, run_short, run_short_one
from svckit.sql.sqlite import threaded as threads
from svckit.sql.sqlite.database import SqliteDatabase
from svckit.sql.statements import upsert
from tests.unit.svckit.sql.tables import account, entry

NOON = datetime(2026, 1, 2, 12, 0, 0, 250, tzinfo=UTC)
ADD = insert(account).returning(account)
ADD_ENTRY = insert(entry)
NAMED = (
    select(account.c.name, account.c.balance, account.c.labels)
    .where(account.c.name.in_(bindparam("names", expanding=True)), account.c.balance >= bindparam("least"))
    .order_by(account.c.name)
)
# The parameter has two positions.
PAY = (
    update(account)
    .where(account.c.name == bindparam("of"), account.c.balance + bindparam("amount") >= 0)
    .values(balance=account.c.balance + bindparam("amount"))
    .returning(account.c.balance.label("left"))
)
COUNT = select(func.count()).select_from(account)


@pytest.fixture(params=[False, True], ids=["any unit", "short unit"])
def short(request: pytest.FixtureRequest) -> bool:
    """Whether the units are short, too."""
    return bool(request.param)


async def test_rows_are_named_and_have_the_types_of_their_columns(bank: Database, short: bool) -> None:
    values = {"name": "b", "balance": 2**40, "labels": {"a": [1, None]}, "seen_time": NOON}
    async with bank.write(short=short) as conn:
        row = await run_short_one(conn, ADD, values)
        again = (await conn.execute(select(account).where(account.c.name == "b"))).one()
        assert row is not None
        assert (row.name, row.balance, row.labels, row.seen_time) == ("b", 2**40, {"a": [1, None]}, NOON)
        assert tuple(row) == tuple(again)
        # An expression has no name.
        ((count,),) = await run_short(conn, COUNT, {})
        assert count == 2


async def test_what_is_left_out_of_an_insert_is_null(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        first = await run_short_one(conn, ADD, {"name": "b", "balance": 1})
        second = await run_short_one(conn, ADD, {"name": "c", "balance": 1, "labels": {}})
        assert first is not None
        assert second is not None
        assert (first.labels, first.seen_time, second.labels) == (None, None, {})


async def test_a_parameter_may_be_a_list_of_any_length(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        await run_short(conn, ADD, [{"name": name, "balance": 5, "labels": None} for name in "bcd"])
        for names in (["a"], ["b", "d"], [], [*"dcba"]):
            rows = await run_short(conn, NAMED, {"names": names, "least": 0})
            assert [row.name for row in rows] == sorted(names)
        assert [row.name for row in await run_short(conn, NAMED, {"names": [*"abcd"], "least": 1})] == [*"bcd"]


async def test_several_sets_of_parameters_return_the_rows_of_all(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        added = await run_short(conn, ADD, [{"name": name, "balance": 1} for name in "cde"])
        assert sorted(row.name for row in added) == [*"cde"]


async def test_an_upsert_returns_what_it_has_changed(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        added = upsert(conn, account)
        add = added.on_conflict_do_update(
            index_elements=[account.c.name], set_={"balance": account.c.balance + added.excluded.balance}
        ).returning(account.c.balance)
        rows = [row for name in "aab" for row in await run_short(conn, add, [{"name": name, "balance": 5}])]
        assert sorted(row.balance for row in rows) == [5, 5, 10]
        await conn.commit()
    async with bank.read(short=short) as conn:
        stored = (await conn.execute(select(account.c.name, account.c.balance).order_by(account.c.name))).all()
        assert [tuple(row) for row in stored] == [("a", 10), ("b", 5)]


async def test_a_parameter_with_two_positions(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        assert [row.left for row in await run_short(conn, PAY, {"of": "a", "amount": 7})] == [7]
        assert list(await run_short(conn, PAY, {"of": "a", "amount": -8})) == []


async def test_a_statement_without_rows_returns_none(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        assert list(await run_short(conn, ADD_ENTRY, {"account_id": None, "amount": 3})) == []
        assert list(await run_short(conn, ADD_ENTRY, [{"account_id": None, "amount": 4}])) == []
        assert await conn.scalar(select(func.sum(entry.c.amount))) == 7


async def test_without_a_commit_nothing_stays(bank: Database, short: bool) -> None:
    async with bank.write(short=short) as conn:
        await run_short(conn, ADD, {"name": "b", "balance": 1})
        assert len(await bank.fetch(select(account.c.name), {})) == 1
    async with bank.write(short=short) as conn:
        assert await run_short_one(conn, PAY, {"of": "b", "amount": 1}) is None


async def test_errors_are_those_of_a_unit(bank: Database, short: bool) -> None:
    async def fail() -> None:
        async with bank.write(short=short) as conn:
            await run_short(conn, ADD, {"name": "c", "balance": 1})
            await run_short(conn, ADD, {"name": "a", "balance": 1})

    with pytest.raises(IntegrityError):
        await fail()
    # The next unit begins as if there had been none.
    async with bank.write(short=short) as conn:
        assert await run_short_one(conn, ADD, {"name": "c", "balance": 1}) is not None
        await conn.commit()


async def test_a_reading_unit_runs_them_as_well(bank: Database, short: bool) -> None:
    async with bank.read(short=short) as conn:
        assert [row.name for row in await run_short(conn, NAMED, {"names": ["a", "b"], "least": 0})] == ["a"]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
class TestSqlite:
    """What is different there: they run on the thread of the event loop, if they are short."""

    @pytest.fixture
    def threaded(self, bank: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The statements that ran in the thread of the connection."""
        assert isinstance(bank, SqliteDatabase)
        seen: list[str] = []
        for name in ("_execute", "_executemany"):
            monkeypatch.setattr(threads._Cursor, name, _noting(seen, getattr(threads._Cursor, name)))
        return seen

    async def test_only_the_beginning_runs_in_the_thread(self, bank: Database, threaded: list[str]) -> None:
        async with bank.write() as conn:
            await run_short(conn, ADD, {"name": "b", "balance": 1})
            await run_short(conn, NAMED, {"names": ["a"] * 64, "least": 0})
            await run_short(conn, ADD_ENTRY, [{"account_id": None, "amount": 1}] * 64)
            await conn.commit()
        assert threaded == ["BEGIN IMMEDIATE"]

    @pytest.mark.parametrize("large", ["list", "sets", "text"])
    async def test_a_large_statement_runs_in_the_thread(self, bank: Database, threaded: list[str], large: str) -> None:
        async with bank.write() as conn:
            if large == "list":
                assert len(await run_short(conn, NAMED, {"names": ["a"] * 65, "least": 0})) == 1
            elif large == "sets":
                await run_short(conn, ADD_ENTRY, [{"account_id": None, "amount": 1}] * 65)
            else:
                await run_short(conn, ADD, {"name": "b" * 65537, "balance": 1})
        assert len(threaded) == 2

    async def test_a_full_disk_is_told(self, bank: Database) -> None:
        async def fill() -> None:
            async with bank.write() as conn:
                pages = (await conn.exec_driver_sql("PRAGMA page_count")).scalar_one()
                await conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")
                for number in range(200):
                    await run_short(conn, ADD, {"name": f"{number:064}", "balance": 1})

        with pytest.raises(DomainError) as caught:
            await fill()
        assert caught.value.reason == "STORAGE_FULL"

    async def test_a_default_that_sqlalchemy_computes_is_refused(self, bank: Database) -> None:
        table = Table("account", MetaData(), Column("name", Integer), Column("balance", Integer, default=lambda: 3))
        async with bank.write() as conn:
            with pytest.raises(TypeError, match="default"):
                await run_short(conn, insert(table), {"name": "b"})

    async def test_a_missing_parameter_is_an_error(self, bank: Database) -> None:
        async with bank.write() as conn:
            with pytest.raises(TypeError, match="no values for amount, amount"):
                await run_short(conn, PAY, {"of": "a"})


def _noting(seen: list[str], execute: Callable[..., None]) -> Callable[..., None]:
    def note(cursor: object, connection: sqlite3.Connection, sql: str, parameters: object) -> None:
        seen.append(sql)
        execute(cursor, connection, sql, parameters)

    return note
