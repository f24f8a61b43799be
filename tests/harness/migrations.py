"""Compares the migrations of a service with the tables that its store declares."""

import re
import warnings
from types import ModuleType
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, MetaData, inspect, text

from svckit.sql.database import Database
from svckit.sql.migrate import VERSION_TABLE, migrate, migration_folder, newest_revision


def assert_head_is_newest(migrations: ModuleType) -> None:
    """The script with the highest number is the newest revision, and there is one newest revision.

    Otherwise a service would start on old tables, because `migrate` sorts the scripts by name.
    """
    assert ScriptDirectory(str(migration_folder(migrations))).get_heads() == [newest_revision(migrations)]


async def assert_migrations_match(
    database: Database, migrations: ModuleType, metadata: MetaData, *, version_table: str = VERSION_TABLE
) -> None:
    """The migrations, run on an empty database, produce exactly the tables of `metadata`. Run it on both databases."""
    assert_head_is_newest(migrations)
    await migrate(database, migrations, version_table=version_table)
    async with database.read() as conn:
        differences = await conn.run_sync(_differences, metadata, version_table)
    assert not differences, "the migrations and the tables differ:\n" + "\n".join(map(str, differences))


def _differences(conn: Connection, metadata: MetaData, version_table: str) -> list[Any]:
    differences: list[Any] = []
    context = MigrationContext.configure(
        conn, opts={"compare_type": True, "compare_server_default": True, "version_table": version_table}
    )
    with warnings.catch_warnings():
        # Alembic cannot compare these on SQLite; on PostgreSQL it does. Tests of plans show that both have them.
        warnings.filterwarnings("ignore", r".*expression-based index")
        differences += compare_metadata(context, metadata)
    if not differences:
        # These read the tables. Only now it is known that the tables exist.
        differences += _checks_that_differ(conn, metadata)
        if conn.dialect.name == "sqlite":
            differences += _ids_given_twice(conn, metadata)
            differences += _checked_at_commit(conn)
    return differences


def _checks_that_differ(conn: Connection, metadata: MetaData) -> list[str]:
    # Alembic does not compare check constraints.
    inspector = inspect(conn)
    differences = []
    for name, table in metadata.tables.items():
        declared = {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
        found = {str(check["name"]) for check in inspector.get_check_constraints(name)}
        if declared != found:
            differences.append(f"check constraints of {name}: declared {declared}, migrated {found}")
    return differences


def _ids_given_twice(conn: Connection, metadata: MetaData) -> list[str]:
    # Without AUTOINCREMENT, SQLite gives the id of a deleted newest row to another row.
    differences = []
    for name, table in metadata.tables.items():
        if table.autoincrement_column is None:
            continue
        ddl = conn.scalar(text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name"), {"name": name})
        if not re.search(r"\bAUTOINCREMENT\b", str(ddl)):
            differences.append(f"the ids of {name} may be given twice: sqlite_autoincrement=True is missing")
        if not table.dialect_options["sqlite"]["autoincrement"]:
            differences.append(f"{name} is declared without sqlite_autoincrement=True")
    return differences


def _checked_at_commit(conn: Connection) -> list[str]:
    # Units that share a transaction share its commit. What only the commit refuses would be refused to all of them.
    found = conn.scalars(text("SELECT name FROM sqlite_master WHERE sql LIKE '%INITIALLY DEFERRED%'"))
    return [f"{name} has a constraint that is checked at the commit" for name in found]
