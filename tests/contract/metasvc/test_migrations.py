"""The history of metasvc's tables ends in what the store declares."""

from metasvc.store import migrations
from metasvc.store.tables import metadata
from svckit.sql.database import Database
from tests.harness.migrations import assert_migrations_match


async def test_the_migrations_make_the_declared_tables(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)
