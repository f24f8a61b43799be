"""Short writing units of SQLite: they share a transaction, and none is answered before its sync."""

import asyncio
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from svckit.errors import DomainError
from svckit.sql.database import Database, run_short
from svckit.sql.errors import WriteConflictError
from svckit.sql.migrate import migrate
from svckit.sql.opening import open_database
from svckit.sql.sqlite import shared_commits, turns
from svckit.sql.sqlite.connecting import connect
from svckit.sql.sqlite.direct import DirectDriver
from tests.unit.svckit.sql import migrations
from tests.unit.svckit.sql.tables import account

ROOT = Path(__file__).parents[4]
BALANCE = select(account.c.balance).where(account.c.name == "a")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine, a unit may take longer than a transaction may have."""
    monkeypatch.setattr(shared_commits, "_LONGEST_SECONDS", 3600)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "service.db"


@pytest.fixture
async def bank(file: Path) -> AsyncIterator[Database]:
    """A database with one account, "a", whose balance is 0."""
    database = await open_database(f"sqlite:///{file}")
    await migrate(database, migrations)
    async with database.write(short=True) as conn:
        await conn.execute(account.insert().values(name="a", balance=0))
        await conn.commit()
    yield database
    await database.close()


async def _balance(database: Database) -> int:
    async with database.read() as conn:
        balance: int = (await conn.scalars(BALANCE)).one()
        return balance


async def _deposit(database: Database, amount: int = 1, *, short: bool = True) -> None:
    async with database.write(short=short) as conn:
        held = (await conn.scalars(BALANCE)).one()
        await conn.execute(update(account).values(balance=held + amount))
        await conn.commit()


@contextmanager
def _controls(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> Iterator[None]:
    """Calls something before each statement about transactions. That of COMMIT is called in another thread."""
    control = DirectDriver.control

    def call_and_control(self: DirectDriver, statement: str) -> None:
        before(statement)
        control(self, statement)

    with monkeypatch.context() as patch:
        patch.setattr(DirectDriver, "control", call_and_control)
        yield


class Disk:
    """A disk that syncs when it is told to."""

    def __init__(self) -> None:
        self.is_reached = asyncio.Event()
        self.commits = 0
        self._loop = asyncio.get_running_loop()
        self._goes_on = threading.Event()

    def before(self, statement: str) -> None:
        if statement == "COMMIT":
            self.commits += 1
            self._loop.call_soon_threadsafe(self.is_reached.set)
            assert self._goes_on.wait(20)

    def go_on(self) -> None:
        self._goes_on.set()


async def test_units_that_wait_share_one_commit(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with _controls(monkeypatch, seen.append):
        await asyncio.gather(*(_deposit(bank) for _ in range(10)))
    assert seen.count("COMMIT") == 1
    assert seen.count("BEGIN IMMEDIATE") == 1
    assert await _balance(bank) == 10


async def test_a_lone_unit_has_a_transaction_of_its_own_and_no_savepoint(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with _controls(monkeypatch, seen.append):
        await _deposit(bank)
        await _deposit(bank)
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
    with _controls(monkeypatch, disk.before):
        units = [asyncio.create_task(_deposit(bank)) for _ in range(5)]
        await disk.is_reached.wait()
        # Many rounds of the loop: whoever did not wait for the disk would be done.
        for _ in range(100):
            await asyncio.sleep(0)
        assert not [unit for unit in units if unit.done()]
        assert await _balance(bank) == 0
        disk.go_on()
        await asyncio.gather(*units)
    assert disk.commits == 1
    assert await _balance(bank) == 5


async def test_who_comes_during_a_sync_is_in_the_next_one(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    with _controls(monkeypatch, disk.before):
        first = asyncio.create_task(_deposit(bank))
        await disk.is_reached.wait()
        late = [asyncio.create_task(_deposit(bank)) for _ in range(3)]
        await asyncio.sleep(0)
        disk.go_on()
        await asyncio.gather(first, *late)
    assert disk.commits == 2
    assert await _balance(bank) == 4


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_unit_that_fails_undoes_only_its_part(bank: Database, place: int) -> None:
    async def fail() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))
            await conn.execute(insert(account).values(name="a", balance=0))

    work = [_deposit(bank), _deposit(bank)]
    work.insert(place, fail())
    results = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(results.pop(place), IntegrityError)
    assert results == [None, None]
    assert await _balance(bank) == 2


async def test_a_unit_that_is_left_without_a_commit_undoes_only_its_part(bank: Database) -> None:
    async def leave() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))

    await asyncio.gather(_deposit(bank), leave(), _deposit(bank))
    assert await _balance(bank) == 2


async def test_a_refusal_is_heard_after_the_sync_of_what_it_relies_on(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()

    async def refuse() -> None:
        async with bank.write(short=True) as conn:
            raise LookupError((await conn.scalars(BALANCE)).one())

    with _controls(monkeypatch, disk.before):
        units = [asyncio.create_task(_deposit(bank)), asyncio.create_task(refuse())]
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

    with _controls(monkeypatch, _fail_commit(sqlite3.SQLITE_IOERR_FSYNC)):
        results = await asyncio.gather(_deposit(bank), refuse(), return_exceptions=True)
    assert isinstance(results[1], WriteConflictError)


def _fail_commit(code: int) -> Callable[[str], None]:
    def fail(statement: str) -> None:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("the disk has failed")
            error.sqlite_errorcode = code
            raise error

    return fail


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("code", "reason"), [(sqlite3.SQLITE_IOERR_FSYNC, "UNAVAILABLE"), (sqlite3.SQLITE_FULL, "STORAGE_FULL")]
)
async def test_a_commit_that_fails_fails_all_and_leaves_nothing(
    bank: Database, monkeypatch: pytest.MonkeyPatch, code: int, reason: str, count: int
) -> None:
    with _controls(monkeypatch, _fail_commit(code)):
        results = await asyncio.gather(*(_deposit(bank) for _ in range(count)), return_exceptions=True)
    assert [error.reason for error in results if isinstance(error, DomainError)] == [reason] * count
    assert len({id(error) for error in results}) == count
    assert await _balance(bank) == 0
    await _deposit(bank)
    assert await _balance(bank) == 1


async def test_a_constraint_that_refuses_the_commit_is_a_conflict_for_each_of_several(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(statement: str) -> None:
        if statement == "COMMIT":
            raise sqlite3.IntegrityError("it is unknown which unit has broken it")

    with _controls(monkeypatch, refuse):
        results = await asyncio.gather(*(_deposit(bank) for _ in range(3)), return_exceptions=True)
        with pytest.raises(IntegrityError):
            await _deposit(bank)
    assert [type(error) for error in results] == [WriteConflictError] * 3
    assert await _balance(bank) == 0


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

    results = await asyncio.gather(_deposit(bank), lose(), _deposit(bank), return_exceptions=True)
    assert refused
    assert isinstance(results[0], WriteConflictError)
    assert isinstance(results[1], WriteConflictError)
    # The third one began after that, in a transaction of its own.
    assert results[2] is None
    assert await _balance(bank) == 1


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
    results = await asyncio.gather(_deposit(bank), fill(), return_exceptions=True)
    assert was_lost == [True]
    assert isinstance(results[0], WriteConflictError)
    assert isinstance(results[1], DomainError)
    assert results[1].reason == "STORAGE_FULL"
    assert await _balance(bank) == 0


def _has_transaction(conn: AsyncConnection) -> bool:
    assert conn.sync_connection is not None
    return cast("sqlite3.Connection", conn.sync_connection.connection.dbapi_connection).in_transaction


async def test_a_cancelled_unit_leaves_the_others(bank: Database) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))
            inside.set()
            await asyncio.Event().wait()

    first = asyncio.create_task(_deposit(bank))
    hanging = asyncio.create_task(hang())
    last = asyncio.create_task(_deposit(bank))
    await inside.wait()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    async with asyncio.timeout(10):
        await asyncio.gather(first, last)
    assert await _balance(bank) == 2


async def test_a_unit_that_is_cancelled_during_the_sync_is_committed(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with _controls(monkeypatch, disk.before):
        unit = asyncio.create_task(_deposit(bank))
        await disk.is_reached.wait()
        unit.cancel()
        await asyncio.sleep(0)
        assert not unit.done()
        disk.go_on()
        with pytest.raises(asyncio.CancelledError):
            await unit
    assert await _balance(bank) == 1


async def test_a_sync_is_finished_although_all_tasks_are_cancelled(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with _controls(monkeypatch, disk.before):
        unit = asyncio.create_task(_deposit(bank))
        await disk.is_reached.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        disk.go_on()
        with pytest.raises(asyncio.CancelledError):
            await unit
    assert await _balance(bank) == 1


@pytest.mark.parametrize("rounds", range(8))
async def test_waiters_that_are_cancelled_at_any_moment_hold_up_nobody(bank: Database, rounds: int) -> None:
    units = [asyncio.create_task(_deposit(bank)) for _ in range(5)]
    for _ in range(rounds):
        await asyncio.sleep(0)
    units[1].cancel()
    units[4].cancel()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*units, return_exceptions=True)
        await _deposit(bank)
    answered = sum(result is None for result in results)
    assert answered >= 3
    assert answered + 1 <= await _balance(bank) <= 6


async def test_units_of_both_kinds_run_in_the_order_of_asking(bank: Database) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with bank.write(short=number % 3 != 0) as conn:
            order.append(number)
            await conn.execute(update(account).values(balance=account.c.balance + 1))
            await conn.commit()

    await asyncio.gather(*(write(number) for number in range(20)))
    assert order == list(range(20))
    assert await _balance(bank) == 20


async def test_a_transaction_ends_although_units_keep_coming(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with _controls(monkeypatch, seen.append):
        await asyncio.gather(*(_deposit(bank) for _ in range(100)))
    assert seen.count("COMMIT") == 4  # 32, 32, 32 and 4


async def test_a_transaction_ends_after_some_time(bank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_commits, "_LONGEST_SECONDS", 0)
    seen: list[str] = []
    with _controls(monkeypatch, seen.append):
        await asyncio.gather(*(_deposit(bank) for _ in range(5)))
    assert seen.count("COMMIT") == 5


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
    assert await _balance(bank) == 2


async def test_no_statement_follows_the_commit(bank: Database) -> None:
    async with bank.write(short=True) as conn:
        await conn.commit()
        with pytest.raises(Exception, match="not been started"):
            await conn.execute(BALANCE)
        with pytest.raises(Exception, match="not been started"):
            await run_short(conn, BALANCE, {})


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
        unit = asyncio.create_task(_deposit(bank))
        for _ in range(3):
            # The loop comes round, and readers read.
            assert await _balance(bank) == 0
        assert not unit.done()
        intruder.execute("ROLLBACK")
        async with asyncio.timeout(10):
            await unit
    finally:
        intruder.close()
    assert await _balance(bank) == 1


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


@pytest.mark.parametrize("next_is_short", [True, False])
async def test_a_connection_whose_rollback_fails_is_replaced(
    bank: Database, monkeypatch: pytest.MonkeyPatch, next_is_short: bool
) -> None:
    def fail(statement: str) -> None:
        if statement in {"COMMIT", "ROLLBACK"}:
            raise sqlite3.OperationalError("the disk is gone")

    with _controls(monkeypatch, fail):
        results = await asyncio.gather(_deposit(bank), return_exceptions=True)
    assert isinstance(results[0], DBAPIError | DomainError)
    async with asyncio.timeout(3):
        # The old one holds no lock.
        await _deposit(bank, short=next_is_short)
        await _deposit(bank)
    assert await _balance(bank) == 2


async def test_what_cannot_be_rolled_back_is_not_committed_with_the_rest(
    bank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(statement: str) -> None:
        if statement.startswith("ROLLBACK"):
            raise sqlite3.OperationalError("the disk is gone")

    async def leave() -> None:
        async with bank.write(short=True) as conn:
            await conn.execute(update(account).values(balance=1000))

    with _controls(monkeypatch, fail):
        results = await asyncio.gather(_deposit(bank), leave(), return_exceptions=True)
    assert [type(result) for result in results] == [WriteConflictError, WriteConflictError]
    await _deposit(bank)
    assert await _balance(bank) == 1


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
        assert acknowledged <= await _balance(database) <= acknowledged + 8
    finally:
        await database.close()


async def test_the_schema_may_change_between_units(bank: Database) -> None:
    await _deposit(bank)
    async with bank.change_schema() as conn:
        await conn.execute(text("ALTER TABLE account ADD COLUMN note TEXT"))
        await conn.commit()
    await _deposit(bank)
    async with bank.write(short=True) as conn:
        assert (await conn.execute(text("SELECT note FROM account"))).all() == [(None,)]
    assert await _balance(bank) == 2


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
    assert acknowledged <= await _balance(bank) <= acknowledged + maybe


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
