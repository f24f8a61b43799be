"""Units that come at the same time share a commit, and are answered after it."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from svckit.sql.database import Database, run_short
from svckit.sql.opening import open_database
from svckit.sql.sqlite import shared_commits
from tests.unit.svckit.sql.shared_commits.bank import BALANCE, Disk, balance, controls, deposit
from tests.unit.svckit.sql.tables import account

ROOT = Path(__file__).parents[5]


async def test_units_that_wait_share_one_commit(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with controls(monkeypatch, seen.append):
        await asyncio.gather(*(deposit(bank) for _ in range(10)))
    assert seen.count("COMMIT") == 1
    assert seen.count("BEGIN IMMEDIATE") == 1
    assert await balance(bank) == 10


async def test_a_lone_unit_has_a_transaction_of_its_own_and_no_savepoint(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with controls(monkeypatch, seen.append):
        await deposit(bank)
        await deposit(bank)
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"] * 2


async def test_commits_are_synced(bank: Database) -> None:
    async with bank.write(short=True) as conn:
        assert await conn.scalar(text("PRAGMA synchronous")) == 2
        assert await conn.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await conn.scalar(text("PRAGMA foreign_keys")) == 1


async def test_no_unit_is_answered_or_seen_before_the_sync_of_all(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with controls(monkeypatch, disk.before):
        units = [asyncio.create_task(deposit(bank)) for _ in range(5)]
        await disk.is_reached.wait()
        # Many rounds of the loop: whoever did not wait for the disk would be done.
        for _ in range(100):
            await asyncio.sleep(0)
        assert not [unit for unit in units if unit.done()]
        assert await balance(bank) == 0
        disk.go_on()
        await asyncio.gather(*units)
    assert disk.commits == 1
    assert await balance(bank) == 5


async def test_who_comes_during_a_sync_is_in_the_next_one(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    with controls(monkeypatch, disk.before):
        first = asyncio.create_task(deposit(bank))
        await disk.is_reached.wait()
        late = [asyncio.create_task(deposit(bank)) for _ in range(3)]
        await asyncio.sleep(0)
        disk.go_on()
        await asyncio.gather(first, *late)
    assert disk.commits == 2
    assert await balance(bank) == 4


async def test_units_of_both_kinds_run_in_the_order_of_asking(bank: Database) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with bank.write(short=number % 3 != 0) as conn:
            order.append(number)
            await conn.execute(update(account).values(balance=account.c.balance + 1))
            await conn.commit()

    await asyncio.gather(*(write(number) for number in range(20)))
    assert order == list(range(20))
    assert await balance(bank) == 20


async def test_a_transaction_ends_although_units_keep_coming(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with controls(monkeypatch, seen.append):
        await asyncio.gather(*(deposit(bank) for _ in range(100)))
    assert seen.count("COMMIT") == 4  # 32, 32, 32 and 4


async def test_a_transaction_ends_after_some_time(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_commits, "_LONGEST_SECONDS", 0)
    seen: list[str] = []
    with controls(monkeypatch, seen.append):
        await asyncio.gather(*(deposit(bank) for _ in range(5)))
    assert seen.count("COMMIT") == 5


async def test_no_statement_follows_the_commit(bank: Database) -> None:
    async with bank.write(short=True) as conn:
        await conn.commit()
        with pytest.raises(Exception, match="not been started"):
            await conn.execute(BALANCE)
        with pytest.raises(Exception, match="not been started"):
            await run_short(conn, BALANCE, {})


@pytest.mark.parametrize("acknowledged", [1, 20, 150])
async def test_what_was_acknowledged_survives_a_kill(file: Path, bank: Database, acknowledged: int) -> None:
    await bank.close()
    program = f"""
import asyncio, itertools, os, signal, sys
from sqlalchemy import update
from svckit.sql.database import Database
from svckit.sql.opening import open_database
from tests.unit.svckit.sql.tables import account

async def main():
    database = await open_database("sqlite:///{file}")
    numbers = itertools.count(1)

    async def deposit():
        while True:
            async with database.write(short=True) as conn:
                await conn.execute(update(account).values(balance=account.c.balance + 1))
                await conn.commit()
            if next(numbers) == {acknowledged}:
                os.kill(os.getpid(), signal.SIGKILL)

    await asyncio.gather(*(deposit() for _ in range(8)))

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL
    database = await open_database(f"sqlite:///{file}")
    try:
        # The others of the last transaction, and those that had not heard of theirs yet.
        assert acknowledged <= await balance(database) <= acknowledged + 8
    finally:
        await database.close()


async def test_the_schema_may_change_between_units(bank: Database) -> None:
    await deposit(bank)
    async with bank.change_schema() as conn:
        await conn.execute(text("ALTER TABLE account ADD COLUMN note TEXT"))
        await conn.commit()
    await deposit(bank)
    async with bank.write(short=True) as conn:
        assert (await conn.execute(text("SELECT note FROM account"))).all() == [(None,)]
    assert await balance(bank) == 2


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_units_do_the_sum_is_that_of_the_acknowledged_ones(bank: Database, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged = maybe = 0

    async def unit() -> None:
        nonlocal acknowledged
        async with bank.write(short=chance.random() < 0.8) as conn:
            held = (await conn.scalars(BALANCE)).one()
            await conn.execute(update(account).values(balance=held + 1))
            match chance.randrange(5):
                case 0:
                    return
                case 1:
                    await conn.execute(insert(account).values(name="a", balance=0))
                case 2:
                    await asyncio.sleep(0)
            await conn.commit()
        acknowledged += 1

    for _ in range(20):
        tasks = [asyncio.create_task(unit()) for _ in range(chance.randrange(1, 12))]
        for _ in range(chance.randrange(10)):
            await asyncio.sleep(0)
        for task in tasks:
            if chance.random() < 0.2 and not task.done():
                task.cancel()
        async with asyncio.timeout(20):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        maybe += sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert {type(result) for result in results} <= {type(None), IntegrityError, asyncio.CancelledError}
    assert acknowledged <= await balance(bank) <= acknowledged + maybe
