"""Units that are cancelled, wait too long, or wait for another program."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from svckit.errors import DomainError
from svckit.sql.database import Database
from svckit.sql.opening import open_database
from svckit.sql.sqlite import turns
from svckit.sql.sqlite.connecting import connect
from svckit.sql.sqlite.direct import DirectDriver
from tests.unit.svckit.sql.shared_commits.bank import Disk, balance, controls, deposit
from tests.unit.svckit.sql.tables import account


async def test_a_cancelled_unit_leaves_the_others(bank: Database) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))
            inside.set()
            await asyncio.Event().wait()

    first = asyncio.create_task(deposit(bank))
    hanging = asyncio.create_task(hang())
    last = asyncio.create_task(deposit(bank))
    await inside.wait()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    async with asyncio.timeout(10):
        await asyncio.gather(first, last)
    assert await balance(bank) == 2


async def test_a_unit_that_is_cancelled_during_the_sync_is_committed(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with controls(monkeypatch, disk.before):
        unit = asyncio.create_task(deposit(bank))
        await disk.is_reached.wait()
        unit.cancel()
        await asyncio.sleep(0)
        assert not unit.done()
        disk.go_on()
        with pytest.raises(asyncio.CancelledError):
            await unit
    assert await balance(bank) == 1


async def test_a_sync_is_finished_although_all_tasks_are_cancelled(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with controls(monkeypatch, disk.before):
        unit = asyncio.create_task(deposit(bank))
        await disk.is_reached.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        disk.go_on()
        with pytest.raises(asyncio.CancelledError):
            await unit
    assert await balance(bank) == 1


@pytest.mark.parametrize("rounds", range(8))
async def test_waiters_that_are_cancelled_at_any_moment_hold_up_nobody(bank: Database, rounds: int) -> None:
    units = [asyncio.create_task(deposit(bank)) for _ in range(5)]
    for _ in range(rounds):
        await asyncio.sleep(0)
    units[1].cancel()
    units[4].cancel()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*units, return_exceptions=True)
        await deposit(bank)
    answered = sum(result is None for result in results)
    assert answered >= 3
    assert answered + 1 <= await balance(bank) <= 6


async def test_a_unit_that_is_cancelled_while_it_connects_loses_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []

    def opening(path: Path, kind: type[DirectDriver], **options: Any) -> DirectDriver:
        opened.append(path)
        return connect(path, kind, **options)

    monkeypatch.setattr("svckit.sql.sqlite.direct.connect", opening)
    database = await open_database(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        unit = asyncio.create_task(_touch(database))
        await asyncio.sleep(0)
        unit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unit
        await _touch(database)
        assert len(opened) == 1
    finally:
        await database.close()


async def _touch(database: Database) -> None:
    async with database.write(short=True) as conn:
        await conn.commit()


async def test_the_turns_drop_waiters_that_gave_up() -> None:
    queue = turns.Turns(wait_seconds=10)
    await queue.take(shares=True)
    gone = asyncio.create_task(queue.take(shares=True))
    stays = asyncio.create_task(queue.take(shares=True))
    await asyncio.sleep(0)
    gone.cancel()
    queue.pass_on()
    async with asyncio.timeout(5):
        await stays


async def test_waiting_too_long_for_a_turn_is_overload(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path / 'other.db'}", wait_seconds=0.05)
    try:
        async with database.write(short=True):
            with pytest.raises(DomainError) as caught:
                async with database.write(short=True):
                    pass
        assert caught.value.reason == "OVERLOADED"
        async with asyncio.timeout(5), database.write(short=True):
            pass
    finally:
        await database.close()


async def test_a_lock_of_another_program_is_waited_for_without_holding_up_the_loop(bank: Database, file: Path) -> None:
    intruder = sqlite3.connect(file, isolation_level=None)
    try:
        intruder.execute("BEGIN IMMEDIATE")
        unit = asyncio.create_task(deposit(bank))
        for _ in range(3):
            # The loop comes round, and readers read.
            assert await balance(bank) == 0
        assert not unit.done()
        intruder.execute("ROLLBACK")
        async with asyncio.timeout(10):
            await unit
    finally:
        intruder.close()
    assert await balance(bank) == 1


async def test_a_lock_that_stays_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.sql.sqlite.database.BUSY_SECONDS", 0.05)
    path = tmp_path / "other.db"
    database = await open_database(f"sqlite:///{path}")
    intruder = sqlite3.connect(path, isolation_level=None)
    try:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DomainError) as caught:
            async with database.write(short=True):
                pass
        assert caught.value.reason == "UNAVAILABLE"
        intruder.execute("ROLLBACK")
        async with database.write(short=True):
            pass
    finally:
        intruder.close()
        await database.close()
