"""The database of the tests with its tables."""

import pytest

from svckit.sql.database import Database
from svckit.sql.migrate import migrate
from tests.unit.svckit.sql import migrations
from tests.unit.svckit.sql.tables import account


@pytest.fixture
async def bank(database: Database) -> Database:
    """A database with one account, "a", whose balance is 0."""
    await migrate(database, migrations)
    async with database.write() as conn:
        await conn.execute(account.insert().values(name="a", balance=0))
        await conn.commit()
    return database
