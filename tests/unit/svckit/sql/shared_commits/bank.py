"""An account in a SQLite file, and a disk that can be held up."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select, update

from svckit.sql.database import Database
from svckit.sql.sqlite.direct import DirectDriver
from tests.unit.svckit.sql.tables import account

BALANCE = select(account.c.balance).where(account.c.name == "a")


async def balance(database: Database) -> int:
    async with database.read() as conn:
        balance: int = (await conn.scalars(BALANCE)).one()
        return balance


async def deposit(database: Database, amount: int = 1, *, short: bool = True) -> None:
    async with database.write(short=short) as conn:
        held = (await conn.scalars(BALANCE)).one()
        await conn.execute(update(account).values(balance=held + amount))
        await conn.commit()


@contextmanager
def controls(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> Iterator[None]:
    """Calls something before each statement about transactions. That of COMMIT is called in another thread."""
    control = DirectDriver.control

    def call_and_control(self: DirectDriver, statement: str) -> None:
        before(statement)
        control(self, statement)

    with monkeypatch.context() as patch:
        patch.setattr(DirectDriver, "control", call_and_control)
        yield


def fail_commit(code: int) -> Callable[[str], None]:
    def fail(statement: str) -> None:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("the disk has failed")
            error.sqlite_errorcode = code
            raise error

    return fail


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
