from sqlalchemy import select

from authsvc.store import migrations
from authsvc.store.tables import metadata, role
from svckit.sql.database import Database
from tests.harness.migrations import assert_migrations_match


async def test_the_migrations_make_the_tables(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)


async def test_the_roles_are_harbors(database: Database) -> None:
    await assert_migrations_match(database, migrations, metadata)
    async with database.read() as conn:
        rows = (
            await conn.execute(select(role.c.id, role.c.name).where(role.c.is_assignable).order_by(role.c.rank))
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, "projectAdmin"),
        (4, "maintainer"),
        (2, "developer"),
        (3, "guest"),
        (5, "limitedGuest"),
    ]
