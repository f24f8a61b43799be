"""An empty database for one test, on SQLite and on PostgreSQL: whoever asks for it runs twice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svckit.sql.database import Database

SCHEMA = "service"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    # Asked for by name, so that a run without PostgreSQL starts none.
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database of `database_url`, open, without tables; on PostgreSQL its schema is "service"."""
    database = await Database.open(database_url, schema=SCHEMA, pool_size=10)
    yield database
    await database.close()
