"""`roadstead admin changes`, on the databases of an installation that is stopped."""

import asyncio
import os
from pathlib import Path

import pytest

import authsvc.store.migrations
import metasvc.store.migrations
from authsvc.store.tables import change_log
from ctl.__main__ import main
from ctl.data_dir import DataDir
from metasvc.store.tables import CHANGES
from svckit.change import LogPosition
from svckit.sql.change_log import ChangeLog
from svckit.sql.migrate import migrate
from svckit.sql.opening import open_database

LOGS = {"metasvc": CHANGES, "authsvc": change_log}
MIGRATIONS = {"metasvc": metasvc.store.migrations, "authsvc": authsvc.store.migrations}


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ROADSTEAD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    """A data directory with the databases of an installation."""
    made = DataDir(tmp_path / "data")
    with made.opened():
        for service in LOGS:
            made.service_dir(service).mkdir()
            asyncio.run(make_tables(file_of(made, service), service))
    return made


def file_of(data_dir: DataDir, service: str) -> Path:
    return data_dir.service_dir(service) / {"metasvc": "meta.db", "authsvc": "auth.db"}[service]


async def make_tables(file: Path, service: str) -> None:
    database = await open_database(f"sqlite:///{file}")
    await migrate(database, MIGRATIONS[service])
    await database.close()


async def position_in(url: str, log: ChangeLog[str], schema: str | None = None) -> LogPosition:  # type: ignore[type-var]
    database = await open_database(url, schema=schema)
    try:
        async with database.read() as conn:
            return await log.position(conn)
    finally:
        await database.close()


def positions(data_dir: DataDir) -> dict[str, LogPosition]:
    return {
        service: asyncio.run(position_in(f"sqlite:///{file_of(data_dir, service)}", log))  # type: ignore[arg-type]
        for service, log in LOGS.items()
    }


def test_each_log_gets_an_epoch_of_its_own(data_dir: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    before = positions(data_dir)
    assert main(["admin", "changes", "renew-epoch", "--data-dir", str(data_dir.path)]) == 0
    after = positions(data_dir)
    assert len({found.epoch for found in (*before.values(), *after.values())}) == 4
    assert capsys.readouterr().out.splitlines() == [
        f"{service}: the change log has the new epoch {after[service].epoch}" for service in LOGS
    ]


def test_a_running_installation_is_left_alone(data_dir: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    before = positions(data_dir)
    with data_dir.opened():
        assert main(["admin", "changes", "renew-epoch", "--data-dir", str(data_dir.path)]) == 1
    assert "runs `roadstead up`" in capsys.readouterr().err
    assert positions(data_dir) == before


def test_a_folder_that_is_no_data_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "changes", "renew-epoch", "--data-dir", str(tmp_path / "none")]) == 1
    assert "is no data directory" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_missing_database_is_said_and_not_made(data_dir: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(data_dir, "authsvc")
    file.unlink()
    assert main(["admin", "changes", "renew-epoch", "--data-dir", str(data_dir.path)]) == 1
    assert "the database of authsvc" in capsys.readouterr().err
    assert not file.exists()


def test_the_databases_of_a_settings_file_may_be_in_use_elsewhere(
    data_dir: DataDir, tmp_path: Path, postgres_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def migrated() -> None:
        database = await open_database(postgres_database, schema="metasvc")
        await migrate(database, MIGRATIONS["metasvc"])
        await database.close()

    asyncio.run(migrated())
    config = tmp_path / "settings.toml"
    config.write_text(
        f'[metasvc]\ndatabase_url = "{postgres_database}"\n'
        f'[authsvc]\ndatabase_url = "sqlite:///{file_of(data_dir, "authsvc")}"\n'
    )
    before = asyncio.run(position_in(postgres_database, CHANGES, "metasvc"))  # type: ignore[arg-type]

    assert main(["admin", "changes", "renew-epoch", "--config", str(config)]) == 0

    after = asyncio.run(position_in(postgres_database, CHANGES, "metasvc"))  # type: ignore[arg-type]
    assert after.epoch != before.epoch
    assert f"metasvc: the change log has the new epoch {after.epoch}" in capsys.readouterr().out


def test_a_database_that_a_service_has_open_is_left_alone(
    data_dir: DataDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        "".join(f'[{service}]\ndatabase_url = "sqlite:///{file_of(data_dir, service)}"\n' for service in LOGS)
    )

    async def opened() -> int:
        database = await open_database(f"sqlite:///{file_of(data_dir, 'metasvc')}")
        try:
            return await asyncio.to_thread(main, ["admin", "changes", "renew-epoch", "--config", str(config)])
        finally:
            await database.close()

    assert asyncio.run(opened()) == 1
    assert "the database of metasvc" in capsys.readouterr().err
