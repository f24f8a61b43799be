"""Units and commits that fail: who hears of it, and what stays."""

import asyncio
import sqlite3
from contextlib import suppress
from typing import cast

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from svckit.errors import DomainError
from svckit.sql.database import Database, run_short
from svckit.sql.errors import WriteConflictError
from tests.unit.svckit.sql.shared_commits.bank import BALANCE, Disk, balance, controls, deposit, fail_commit
from tests.unit.svckit.sql.tables import account


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_unit_that_fails_undoes_only_its_part(bank: Database, place: int) -> None:
    async def fail() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))
            await conn.execute(insert(account).values(name="a", balance=0))

    work = [deposit(bank), deposit(bank)]
    work.insert(place, fail())
    results = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(results.pop(place), IntegrityError)
    assert results == [None, None]
    assert await balance(bank) == 2


async def test_a_unit_that_is_left_without_a_commit_undoes_only_its_part(bank: Database) -> None:
    async def leave() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))

    await asyncio.gather(deposit(bank), leave(), deposit(bank))
    assert await balance(bank) == 2


async def test_a_savepoint_of_a_unit_undoes_only_its_part(bank: Database) -> None:
    async def write() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=account.c.balance + 1))
            with suppress(IntegrityError):
                async with conn.begin_nested():
                    await conn.execute(update(account).values(balance=1000))
                    await conn.execute(insert(account).values(name="a", balance=0))
            await conn.commit()

    await asyncio.gather(write(), write())
    assert await balance(bank) == 2


async def test_a_refusal_is_heard_after_the_sync_of_what_it_relies_on(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()

    async def refuse() -> None:
        async with bank.write(short=True) as conn:
            raise LookupError((await conn.scalars(BALANCE)).one())

    with controls(monkeypatch, disk.before):
        units = [asyncio.create_task(deposit(bank)), asyncio.create_task(refuse())]
        await disk.is_reached.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not units[1].done()
        disk.go_on()
        assert str((await asyncio.gather(*units, return_exceptions=True))[1]) == "1"


async def test_a_refusal_that_relied_on_what_is_lost_is_a_conflict(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(BALANCE)
            raise LookupError

    with controls(monkeypatch, fail_commit(sqlite3.SQLITE_IOERR_FSYNC)):
        results = await asyncio.gather(deposit(bank), refuse(), return_exceptions=True)
    assert isinstance(results[1], WriteConflictError)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("code", "reason"), [(sqlite3.SQLITE_IOERR_FSYNC, "UNAVAILABLE"), (sqlite3.SQLITE_FULL, "STORAGE_FULL")]
)
async def test_a_commit_that_fails_fails_all_and_leaves_nothing(
    bank: Database, monkeypatch: pytest.MonkeyPatch, code: int, reason: str, count: int
) -> None:
    with controls(monkeypatch, fail_commit(code)):
        results = await asyncio.gather(*(deposit(bank) for _ in range(count)), return_exceptions=True)
    assert [error.reason for error in results if isinstance(error, DomainError)] == [reason] * count
    assert len({id(error) for error in results}) == count
    assert await balance(bank) == 0
    await deposit(bank)
    assert await balance(bank) == 1


async def test_a_constraint_that_refuses_the_commit_is_a_conflict_for_each_of_several(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(statement: str) -> None:
        if statement == "COMMIT":
            raise sqlite3.IntegrityError("it is unknown which unit has broken it")

    with controls(monkeypatch, refuse):
        results = await asyncio.gather(*(deposit(bank) for _ in range(3)), return_exceptions=True)
        with pytest.raises(IntegrityError):
            await deposit(bank)
    assert [type(error) for error in results] == [WriteConflictError] * 3
    assert await balance(bank) == 0


async def test_a_transaction_that_sqlite_rolls_back_fails_all_of_it(bank: Database) -> None:
    """Unit 2 does what SQLite does after an error such as a full disk, and goes on regardless."""
    refused: list[BaseException] = []

    async def lose() -> None:
        async with bank.write(short=True) as conn:
            await conn.exec_driver_sql("ROLLBACK")
            with pytest.raises(DBAPIError, match="rolled back") as caught:
                await conn.execute(update(account).values(balance=1000))
            refused.append(caught.value)
            with pytest.raises(DBAPIError, match="rolled back"):
                await run_short(conn, update(account).values(balance=1000), {})
            await conn.commit()

    results = await asyncio.gather(deposit(bank), lose(), deposit(bank), return_exceptions=True)
    assert refused
    assert isinstance(results[0], WriteConflictError)
    assert isinstance(results[1], WriteConflictError)
    # The third one began after that, in a transaction of its own.
    assert results[2] is None
    assert await balance(bank) == 1


async def test_a_full_disk_is_told_to_the_unit_that_meets_it(bank: Database) -> None:
    async def fill() -> None:
        async with bank.write(short=True) as conn:
            pages = await conn.scalar(text("PRAGMA page_count"))
            await conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            try:
                for number in range(10_000):
                    await conn.execute(insert(account).values(name=f"{number:060}", balance=0))
            finally:
                was_lost.append(not _has_transaction(conn))

    was_lost: list[bool] = []
    results = await asyncio.gather(deposit(bank), fill(), return_exceptions=True)
    assert was_lost == [True]
    assert isinstance(results[0], WriteConflictError)
    assert isinstance(results[1], DomainError)
    assert results[1].reason == "STORAGE_FULL"
    assert await balance(bank) == 0


def _has_transaction(conn: AsyncConnection) -> bool:
    assert conn.sync_connection is not None
    return cast("sqlite3.Connection", conn.sync_connection.connection.dbapi_connection).in_transaction


@pytest.mark.parametrize("next_is_short", [True, False])
async def test_a_connection_whose_rollback_fails_is_replaced(
    bank: Database, monkeypatch: pytest.MonkeyPatch, next_is_short: bool
) -> None:
    def fail(statement: str) -> None:
        if statement in {"COMMIT", "ROLLBACK"}:
            raise sqlite3.OperationalError("the disk is gone")

    with controls(monkeypatch, fail):
        results = await asyncio.gather(deposit(bank), return_exceptions=True)
    assert isinstance(results[0], DBAPIError | DomainError)
    async with asyncio.timeout(3):
        # The old one holds no lock.
        await deposit(bank, short=next_is_short)
        await deposit(bank)
    assert await balance(bank) == 2


async def test_what_cannot_be_rolled_back_is_not_committed_with_the_rest(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(statement: str) -> None:
        if statement.startswith("ROLLBACK"):
            raise sqlite3.OperationalError("the disk is gone")

    async def leave() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))

    with controls(monkeypatch, fail):
        results = await asyncio.gather(deposit(bank), leave(), return_exceptions=True)
    assert [type(result) for result in results] == [WriteConflictError, WriteConflictError]
    await deposit(bank)
    assert await balance(bank) == 1
