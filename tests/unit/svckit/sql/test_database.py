"""Units of work on both databases: nothing is lost, nothing stays by accident, readers do not wait."""

import asyncio
import logging

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from svckit.errors import DomainError
from svckit.sql.database import Database, run_to_completion
from svckit.sql.opening import open_database
from svckit.sql.statements import advisory_xact_lock
from tests.harness.databases import SCHEMA
from tests.unit.svckit.sql.tables import account

BALANCE = select(account.c.balance).where(account.c.name == "a")


async def _balance(database: Database) -> int:
    async with database.read() as conn:
        balance: int = (await conn.scalars(BALANCE)).one()
        return balance


async def _deposit(database: Database, amount: int) -> None:
    async with database.write() as conn:
        held = (await conn.scalars(BALANCE.with_for_update())).one()
        await conn.execute(update(account).values(balance=held + amount))
        await conn.commit()


async def test_no_update_of_200_at_once_is_lost(bank: Database) -> None:
    await asyncio.gather(*(_deposit(bank, 1) for _ in range(200)))
    assert await _balance(bank) == 200


async def test_leaving_without_commit_rolls_back(bank: Database) -> None:
    async with bank.write() as conn:
        await conn.execute(update(account).values(balance=7))
    assert await _balance(bank) == 0


async def test_an_error_rolls_back(bank: Database) -> None:
    async def fail() -> None:
        async with bank.write() as conn:
            await conn.execute(update(account).values(balance=7))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await _balance(bank) == 0


async def test_what_follows_a_commit_is_another_transaction(bank: Database) -> None:
    async with bank.write() as conn:
        await conn.execute(update(account).values(balance=1))
        await conn.commit()
        await conn.execute(update(account).values(balance=2))
    assert await _balance(bank) == 1


async def test_a_savepoint_undoes_only_its_part(bank: Database) -> None:
    async with bank.write() as conn:
        await conn.execute(update(account).values(balance=1))
        savepoint = await conn.begin_nested()
        await conn.execute(update(account).values(balance=2))
        with pytest.raises(IntegrityError):
            await conn.execute(account.insert().values(name="a", balance=0))
        await savepoint.rollback()
        await conn.commit()
    assert await _balance(bank) == 1


async def test_a_reader_does_not_wait_for_a_writer(bank: Database) -> None:
    async with bank.write() as conn:
        await conn.execute(update(account).values(balance=7))
        async with asyncio.timeout(5):
            assert await _balance(bank) == 0
        await conn.commit()
        assert await _balance(bank) == 7


async def test_a_writer_does_not_wait_for_a_reader(bank: Database) -> None:
    async with bank.read(snapshot=True) as conn:
        assert await conn.scalar(BALANCE) == 0
        async with asyncio.timeout(5):
            await _deposit(bank, 1)


async def test_a_snapshot_shows_one_moment(bank: Database) -> None:
    async with bank.read(snapshot=True) as held, bank.read() as fresh:
        assert await held.scalar(BALANCE) == 0
        assert await fresh.scalar(BALANCE) == 0
        await _deposit(bank, 1)
        assert await held.scalar(BALANCE) == 0
        assert await fresh.scalar(BALANCE) == 1


async def test_a_snapshot_leaves_nothing_behind_on_its_connection(bank: Database) -> None:
    for _ in range(20):
        async with bank.read(snapshot=True) as conn:
            before = (await conn.scalars(BALANCE)).one()
        await _deposit(bank, 1)
        assert await _balance(bank) == before + 1


async def test_a_constraint_that_refuses_reaches_the_store(bank: Database) -> None:
    with pytest.raises(IntegrityError):
        async with bank.write() as conn:
            await conn.execute(account.insert().values(name="a", balance=0))
    await _deposit(bank, 1)
    assert await _balance(bank) == 1


async def test_a_cancelled_writer_leaves_nothing_and_blocks_nobody(bank: Database) -> None:
    wrote = asyncio.Event()

    async def write() -> None:
        async with bank.write() as conn:
            await conn.execute(update(account).values(balance=7))
            wrote.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await wrote.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await _deposit(bank, 1)
    assert await _balance(bank) == 1


async def test_cancelling_at_any_moment_leaves_a_database_that_works(bank: Database) -> None:
    committed = 0

    async def deposit_and_count() -> None:
        nonlocal committed
        await _deposit(bank, 1)
        committed += 1

    for turns in range(60):
        task = asyncio.create_task(deposit_and_count())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    async with asyncio.timeout(10):
        await asyncio.gather(*(_deposit(bank, 1) for _ in range(10)))
    balance = await _balance(bank)
    # A commit that was under way when the task was cancelled counts, though its caller never heard of it.
    assert committed + 10 <= balance <= 60 + 10


async def test_a_commit_that_has_begun_outlives_its_caller(bank: Database) -> None:
    began = asyncio.Event()

    async def deposit() -> None:
        async with bank.write() as conn:
            await conn.execute(update(account).values(balance=7))
            began.set()
            await conn.commit()

    task = asyncio.create_task(deposit())
    # The task goes on to its next wait, inside the commit, before this one is woken.
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _balance(bank) == 7


async def test_what_fails_goes_before_the_cancellation() -> None:
    go = asyncio.Event()

    async def fail() -> None:
        await go.wait()
        raise LookupError

    task = asyncio.create_task(run_to_completion(fail()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(LookupError):
        await task


async def test_waiting_too_long_for_a_connection_is_overload(database_url: str) -> None:
    database = await open_database(database_url, schema=SCHEMA, pool_size=1, wait_seconds=0.05)
    try:
        async with database.write():
            with pytest.raises(DomainError) as caught:
                async with database.write() as conn:
                    await conn.execute(text("SELECT 1"))
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.retry_after_seconds
        if database.dialect == "sqlite":
            async with database.read():
                with pytest.raises(DomainError) as caught:
                    async with database.read():
                        pass
            assert caught.value.reason == "OVERLOADED"
    finally:
        await database.close()


async def test_the_lock_of_a_name_is_held_until_the_transaction_ends(bank: Database) -> None:
    order: list[str] = []
    held = asyncio.Event()

    async def first() -> None:
        async with bank.write() as conn:
            await advisory_xact_lock(conn, "log")
            held.set()
            # Asked on another connection: the second one waits by now, or has not come yet. Either is in order.
            await _balance(bank)
            order.append("first")
            await conn.commit()

    async def second() -> None:
        await held.wait()
        async with bank.write() as conn:
            await advisory_xact_lock(conn, "log")
            order.append("second")

    async with asyncio.timeout(10):
        await asyncio.gather(second(), first())
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////tmp/x.db?mode=ro",
        "mysql://root@localhost/x",
        "no url at all, with s3cret@in it",
    ],
)
async def test_a_wrong_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="database") as caught:
        await open_database(url)
    assert "s3cret" not in str(caught.value)


async def test_a_schema_that_would_need_quotes_is_refused() -> None:
    with pytest.raises(ValueError, match="schema"):
        await open_database("postgresql://localhost/x", schema="x -c y")


async def test_parameters_appear_in_no_log_and_no_error(bank: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    row = {"name": "s3cret", "balance": 0}
    with pytest.raises(IntegrityError) as caught:
        async with bank.write() as conn:
            await conn.execute(account.insert(), [row, row])
    # PostgreSQL repeats the value in its detail, which is of the error's cause and not of a log of ours.
    assert "s3cret" not in str(caught.value).replace("Key (name)=(s3cret) already exists", "")
    assert "s3cret" not in caplog.text


async def test_closing_twice_is_no_error(database: Database) -> None:
    await database.close()
    await database.close()
