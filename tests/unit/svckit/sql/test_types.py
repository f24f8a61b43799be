"""Values come back as they went in, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from svckit.sql.database import Database
from svckit.sql.statements import upsert
from tests.unit.svckit.sql.tables import account

MOMENT = datetime(2026, 11, 3, 4, 5, 6, 789, tzinfo=UTC)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
async def test_a_time_comes_back_in_utc_to_the_microsecond(bank: Database, zone: timezone) -> None:
    async with bank.write() as conn:
        await conn.execute(account.update().values(seen_time=MOMENT.astimezone(zone)))
        await conn.commit()
    async with bank.read() as conn:
        seen = await conn.scalar(select(account.c.seen_time))
        assert seen == MOMENT
        assert seen.tzinfo is UTC
        before = select(account.c.name).where(account.c.seen_time < MOMENT + timedelta(microseconds=1))
        assert await conn.scalar(before) == "a"
        assert await conn.scalar(select(account.c.name).where(account.c.seen_time < MOMENT)) is None


async def test_times_sort_by_time(bank: Database) -> None:
    moments = [MOMENT.replace(microsecond=0), MOMENT, MOMENT + timedelta(seconds=1)]
    async with bank.write() as conn:
        await conn.execute(account.delete())
        await conn.execute(
            account.insert(),
            [{"name": str(n), "balance": 0, "seen_time": moment} for n, moment in enumerate(reversed(moments))],
        )
        found = await conn.execute(select(account.c.seen_time).order_by(account.c.seen_time))
        assert found.scalars().all() == moments


async def test_a_time_without_a_zone_is_refused(bank: Database) -> None:
    with pytest.raises(StatementError, match="without a time zone"):
        async with bank.write() as conn:
            await conn.execute(account.update().values(seen_time=datetime(2026, 1, 1)))  # noqa: DTZ001 - the point


@pytest.mark.parametrize("value", [{"a": [1, 2.5, "é", None, True]}, [], "text", 10**15, None])
async def test_json_comes_back(bank: Database, value: object) -> None:
    async with bank.write() as conn:
        await conn.execute(account.update().values(labels=value))
        assert await conn.scalar(select(account.c.labels)) == value
        is_null = await conn.scalar(text("SELECT labels IS NULL FROM account"))
        assert bool(is_null) == (value is None)


async def test_json_may_be_searched(bank: Database) -> None:
    async with bank.write() as conn:
        await conn.execute(account.update().values(labels={"team": "blue"}))
        found = select(account.c.name).where(account.c.labels["team"].as_string() == "blue")
        assert await conn.scalar(found) == "a"


async def test_numbers_of_64_bits_fit(bank: Database) -> None:
    async with bank.write() as conn:
        await conn.execute(account.insert().values(id=2**62, name="b", balance=2**63 - 1))
        assert await conn.scalar(select(account.c.balance).where(account.c.id == 2**62)) == 2**63 - 1


async def test_the_id_of_a_deleted_row_is_not_given_again(bank: Database) -> None:
    insert = account.insert().values(name="b", balance=0).returning(account.c.id)
    async with bank.write() as conn:
        first = await conn.scalar(insert)
        await conn.execute(account.delete().where(account.c.id == first))
        assert await conn.scalar(insert) > first


async def test_an_upsert_updates_what_is_there(bank: Database) -> None:
    async with bank.write() as conn:
        for name, balance in (("a", 5), ("b", 6)):
            statement = upsert(conn, account).values(name=name, balance=balance)
            await conn.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"], set_={"balance": statement.excluded.balance + 1}
                )
            )
        found = await conn.execute(select(account.c.name, account.c.balance).order_by(account.c.name))
        assert [tuple(row) for row in found] == [("a", 6), ("b", 6)]


async def test_an_insert_may_ignore_what_is_there(bank: Database) -> None:
    async with bank.write() as conn:
        for name, inserted in (("a", False), ("b", True)):
            statement = upsert(conn, account).values(name=name, balance=9).on_conflict_do_nothing()
            assert (await conn.scalar(statement.returning(account.c.id)) is not None) == inserted
        assert await conn.scalar(select(account.c.balance).where(account.c.name == "a")) == 0
