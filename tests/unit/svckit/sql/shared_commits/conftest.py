"""The account of the tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svckit.sql.database import Database
from svckit.sql.migrate import migrate
from svckit.sql.opening import open_database
from svckit.sql.sqlite import shared_commits
from tests.unit.svckit.sql import migrations
from tests.unit.svckit.sql.tables import account


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
