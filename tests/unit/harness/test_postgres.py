import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from tests.harness import postgres
from tests.harness.ports import free_port
from tests.harness.postgres_server import (
    Account,
    PostgresServer,
    PostgresStartError,
    binaries,
    initialise,
    remove_left_behind,
    start,
)


async def ask(url: str, statement: str) -> object:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(statement))).scalar()
    finally:
        await engine.dispose()


@pytest.fixture
def stopped_data() -> Iterator[Path]:
    account = Account.find()
    root = Path(tempfile.mkdtemp(prefix="rs-pg-", dir="/tmp"))
    os.chown(root, account.uid, account.gid)
    initialise(account, binaries(account), root / "data")
    yield root / "data"
    shutil.rmtree(root)


async def test_a_database_is_empty_speaks_utf8_and_takes_200_connections(postgres_database: str) -> None:
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert await ask(postgres_database, tables) == 0
    assert await ask(postgres_database, "SHOW server_encoding") == "UTF8"
    assert await ask(postgres_database, "SHOW max_connections") == "200"


async def test_each_name_is_a_database_of_its_own_and_taken_only_once(postgres_url: Callable[[str], str]) -> None:
    one, two = postgres_url("harness_one"), postgres_url("harness_two")
    assert await ask(one, "SELECT current_database()") == "harness_one"
    assert await ask(two, "SELECT current_database()") == "harness_two"
    with pytest.raises(psycopg.errors.DuplicateDatabase):
        postgres_url("harness_one")


async def test_a_database_is_dropped_although_a_connection_is_still_open(postgres_server: PostgresServer) -> None:
    url = make_url(postgres_server.create_database("harness_busy")).set(drivername="postgresql")
    async with await psycopg.AsyncConnection.connect(url.render_as_string()) as connection:
        postgres_server.drop_database("harness_busy")
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")


async def test_all_workers_of_a_run_get_one_server_which_ends_with_the_run() -> None:
    desk = postgres.Desk()
    try:
        with ThreadPoolExecutor(2) as workers:
            one, other = workers.map(postgres.ask, [desk.address] * 2)
        assert one == other
        assert await ask(one.url("postgres"), "SELECT 1") == 1
    finally:
        desk.close()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        one.create_database("too_late")


def test_a_worker_hears_why_the_server_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.harness.postgres_server.Account.find", lambda: Account(1, 1))
    monkeypatch.setattr("tests.harness.postgres_server.Account.can_run", lambda *_: False)
    desk = postgres.Desk()
    try:
        with pytest.raises(PostgresStartError, match="can run no PostgreSQL"):
            postgres.ask(desk.address)
    finally:
        desk.close()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    account = Account.find()
    with pytest.raises(PostgresStartError, match=r"does not exist|could not access|Permission denied"):
        start(account, binaries(account), tmp_path / "absent")


async def test_a_port_that_somebody_took_in_between_is_replaced_by_another(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, stopped_data: Path
) -> None:
    ports = iter([postgres_server.port, free_port()])
    monkeypatch.setattr("tests.harness.postgres_server.free_port", lambda: next(ports))
    account = Account.find()
    process, port = start(account, binaries(account), stopped_data)
    try:
        assert port != postgres_server.port
        assert await ask(PostgresServer(port).url("postgres"), "SELECT 1") == 1
    finally:
        process.stop()


def test_what_a_killed_session_left_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left, held, strange = (tmp_path / f"rs-pg-{name}" for name in ("left", "held", "strange"))
    for folder in (left, held):
        (folder / "data").mkdir(parents=True)
        (folder / "lock").touch()
    strange.mkdir()
    with (held / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_left_behind(str(tmp_path))

    assert sorted(tmp_path.iterdir()) == [held, strange]
