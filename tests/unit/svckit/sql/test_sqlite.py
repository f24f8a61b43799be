"""What is SQLite's own: one process per file, and what its connections are told."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from svckit.errors import DomainError
from svckit.sql.database import Database
from svckit.sql.errors import DatabaseInUseError, MissingDatabaseError
from svckit.sql.opening import open_database

ROOT = Path(__file__).parents[4]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "service 100%.db"


@pytest.fixture
async def opened(file: Path) -> AsyncIterator[Database]:
    database = await open_database(f"sqlite:///{file}")
    yield database
    await database.close()


async def test_a_second_opener_is_refused_and_told_who_has_it(opened: Database, file: Path) -> None:
    with pytest.raises(DatabaseInUseError, match=f"open already.*{os.getpid()}"):
        await open_database(f"sqlite:///{file}")


async def test_another_process_is_refused_through_a_link_too(opened: Database, file: Path) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    program = f"""
import asyncio
from svckit.sql.database import Database
from svckit.sql.opening import open_database
asyncio.run(open_database("sqlite:///{link}"))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=subprocess.PIPE, cwd=ROOT)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"DatabaseInUseError" in errors


async def test_the_file_may_be_opened_again_after_a_close(file: Path) -> None:
    for _ in range(2):
        database = await open_database(f"sqlite:///{file}")
        await database.close()
    assert not file.with_name(file.name + "-wal").exists()


async def test_a_killed_process_leaves_no_lock(file: Path) -> None:
    program = f"""
import asyncio, os, signal
from svckit.sql.database import Database
from svckit.sql.opening import open_database

async def main():
    database = await open_database("sqlite:///{file}")
    async with database.write() as conn:
        await conn.exec_driver_sql("CREATE TABLE t (n INTEGER)")
        await conn.exec_driver_sql("INSERT INTO t VALUES (1)")
        await conn.commit()
        await conn.exec_driver_sql("INSERT INTO t VALUES (2)")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""  # noqa: S608 - the path is our own
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
    await process.wait()
    database = await open_database(f"sqlite:///{file}")
    async with database.read() as conn:
        assert (await conn.execute(text("SELECT n FROM t"))).scalars().all() == [1]
    await database.close()


async def test_threads_do_not_keep_a_process_that_forgets_to_close(file: Path) -> None:
    program = f"""
import asyncio
from svckit.sql.database import Database
from svckit.sql.opening import open_database
asyncio.run(open_database("sqlite:///{file}"))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT)
    async with asyncio.timeout(20):
        assert await process.wait() == 0


async def test_closing_ends_the_threads(file: Path) -> None:
    before = threading.active_count()
    database = await open_database(f"sqlite:///{file}")
    async with database.read(), database.read():
        assert threading.active_count() > before
    await database.close()
    # The thread tells that its connection is closed just before it ends.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5)
    assert not [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]


async def test_only_the_owner_reads_the_file(opened: Database, file: Path) -> None:
    for name in (file.name, file.name + "-wal", file.name + ".lock"):
        assert stat.S_IMODE(file.with_name(name).stat().st_mode) == 0o600


async def test_a_reader_cannot_write(opened: Database) -> None:
    with pytest.raises(DBAPIError, match="readonly"):
        async with opened.read() as conn:
            await conn.execute(text("CREATE TABLE t (n INTEGER)"))


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
async def test_every_connection_is_told_the_same(opened: Database, pragma: str, value: object) -> None:
    async with opened.write() as writer, opened.read() as reader:
        assert await writer.scalar(text(f"PRAGMA {pragma}")) == value
        assert await reader.scalar(text(f"PRAGMA {pragma}")) == value


async def test_writers_have_their_turn_in_the_order_of_asking(opened: Database) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with opened.write():
            order.append(number)

    await asyncio.gather(*(write(number) for number in range(20)))
    assert order == list(range(20))


async def test_a_file_that_somebody_else_holds_is_unavailable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.sql.sqlite.database.BUSY_SECONDS", 0.05)
    database = await open_database(f"sqlite:///{file}")
    intruder = sqlite3.connect(file, isolation_level=None)
    try:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DomainError) as caught:
            async with database.write():
                pass
        assert caught.value.reason == "UNAVAILABLE"
        assert caught.value.retry_after_seconds
        intruder.execute("ROLLBACK")
        async with database.write():
            pass
    finally:
        intruder.close()
        await database.close()


async def test_a_file_that_is_no_database_is_refused_and_let_go(file: Path) -> None:
    file.write_bytes(b"something else entirely" * 100)
    for _ in range(2):
        with pytest.raises(DBAPIError, match="not a database"):
            await open_database(f"sqlite:///{file}")


async def test_large_results_and_many_parameters_come_through(opened: Database) -> None:
    async with opened.write() as conn:
        await conn.execute(text("CREATE TABLE t (n INTEGER, data BLOB)"))
        await conn.execute(text("INSERT INTO t VALUES (:n, :data)"), [{"n": n, "data": b"x" * n} for n in range(3000)])
        result = await conn.execute(text("UPDATE t SET n = n + 1 WHERE n >= 1000"))
        assert result.rowcount == 2000
        await conn.commit()
    async with opened.read() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM t")) == 3000
        streamed = await conn.stream(text("SELECT n FROM t ORDER BY n LIMIT 2500"))
        assert len([row.n async for row in streamed]) == 2500


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
async def test_a_lost_file_is_refused_if_it_must_exist_and_the_log_beside_it_stays(
    tmp_path: Path, exists: bool
) -> None:
    path, log = tmp_path / "lost.db", tmp_path / "lost.db-wal"
    log.write_bytes(b"all rows")
    if exists:
        path.touch()

    with pytest.raises(MissingDatabaseError, match=r"lost\.db is missing or empty"):
        await open_database(f"sqlite:///{path}", must_exist=True)

    assert log.read_bytes() == b"all rows"
    assert path.exists() == exists


async def test_a_file_that_must_exist_is_opened(file: Path) -> None:
    await (await open_database(f"sqlite:///{file}")).close()

    await (await open_database(f"sqlite:///{file}", must_exist=True)).close()
