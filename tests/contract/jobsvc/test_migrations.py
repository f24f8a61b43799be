from jobsvc.engine.store import migrations
from jobsvc.engine.store.tables import metadata
from svckit.sql.database import Database
from tests.harness.migrations import assert_migrations_match


async def test_the_migrations_make_the_tables(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)
