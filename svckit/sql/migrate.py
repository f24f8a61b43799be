"""Runs the migrations of a database with Alembic, without an alembic.ini.

A service has its migrations in a package, `<service>/store/migrations/`. The files `versions/0001_….py` and so on are
Alembic scripts, each named for its revision. Their `upgrade` takes the operations as an argument, because Alembic's own
`op` is global, and one process may migrate two databases:

    from alembic.operations import Operations
    revision = "0001"
    down_revision = None

    def upgrade(op: Operations) -> None:
        op.create_table(...)

`tests/harness/migrations.py` checks that the migrations make the tables that the store declares.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, select, table, text

from svckit.absent import absent
from svckit.errors.start import StartError
from svckit.sql.database import Database
from svckit.sql.errors import MissingDatabaseError
from svckit.sql.opening import open_database
from svckit.sql.settings import DatabaseServiceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext, RevisionStep

VERSION_TABLE = "alembic_version"


class MigrationError(StartError):
    """The migrations failed; nothing was changed."""


class NewerDatabaseError(MigrationError):
    """The database was written by a newer program than this one."""


async def migrate(
    database: Database, migrations: ModuleType, *, version_table: str = VERSION_TABLE, must_exist: bool = False
) -> None:
    """Runs all missing migrations in one transaction. Other processes wait meanwhile.

    Args:
        database: The database. The PostgreSQL schema is created if it is missing.
        migrations: The package of the service's migrations, with the folder `versions`.
        version_table: The table with the revision of the database.
        must_exist: Whether a database without tables is refused.

    Raises:
        MissingDatabaseError: The database has no tables, and must have some.
        NewerDatabaseError: The database has a revision that this program does not know.
        MigrationError: A migration left a foreign key without its row (SQLite).
        DomainError: UNAVAILABLE, as every unit of work.
    """
    held = await _revision(database, version_table)
    if held is None and must_exist:
        raise MissingDatabaseError("the database has no tables")
    if held == newest_revision(migrations):
        # This is the usual case. Alembic is not imported, which would take a third of a second.
        return
    async with database.change_schema() as conn:
        await conn.run_sync(_upgrade, migration_folder(migrations), version_table)
        if database.dialect == "sqlite":
            orphans = (await conn.execute(text("PRAGMA foreign_key_check"))).all()
            if orphans:
                raise MigrationError(f"a migration broke foreign keys of {sorted({row[0] for row in orphans})}")
        await conn.commit()


@asynccontextmanager
async def open_migrated(settings: DatabaseServiceSettings, migrations: ModuleType) -> AsyncIterator[Database]:
    """Opens a service's database, migrates it, and closes it at the end of the block.

    Args:
        settings: The URL of the database and the number of connections.
        migrations: The package of the service's migrations, as for `migrate`.

    Raises:
        MigrationError: As `migrate`.
        MissingDatabaseError: The settings say that the database must exist, and it does not.
        DatabaseInUseError: Another process has the SQLite file open.
        DomainError: UNAVAILABLE if the database does not answer.
    """
    database = await open_database(
        settings.database_url.get_secret_value(),
        schema=settings.database_schema,
        pool_size=settings.database_pool_size,
        must_exist=settings.database_must_exist,
    )
    try:
        await migrate(database, migrations, must_exist=settings.database_must_exist)
        yield database
    finally:
        await database.close()


def migration_folder(migrations: ModuleType) -> Path:
    """The folder of a service's migrations, which contains `versions`."""
    return Path(migrations.__path__[0])


def newest_revision(migrations: ModuleType) -> str:
    """The newest revision of a service. It is read from file names, because Alembic would load all scripts."""
    scripts = (migration_folder(migrations) / "versions").glob("[0-9]*_*.py")
    return max(script.name.partition("_")[0] for script in scripts)


async def _revision(database: Database, version_table: str) -> str | None:
    async with database.read() as conn:
        if not await conn.run_sync(lambda sync: sync.dialect.has_table(sync, version_table)):
            return None
        held: str | None = await conn.scalar(select(column("version_num")).select_from(table(version_table)))
        return held


def _upgrade(conn: Connection, folder: Path, version_table: str) -> None:
    # Alembic loads Mako, which loads Pygments where it is installed: 3 MiB that stay after the migration.
    with absent("pygments"):
        from alembic.operations import Operations
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError

    scripts = ScriptDirectory(str(folder))

    def steps(held: str, _context: "MigrationContext") -> "Sequence[RevisionStep]":
        # alembic.command.upgrade calls this method; there is no public one.
        return scripts._upgrade_revs("head", held)  # noqa: SLF001

    context = MigrationContext.configure(conn, opts={"fn": steps, "version_table": version_table})
    for held in context.get_current_heads():
        try:
            scripts.get_revision(held)
        except CommandError as error:
            raise NewerDatabaseError(
                f"the database has revision {held!r}, which this program does not know: a newer version has used it"
            ) from error
    # The connection has a transaction already, so Alembic does not begin or commit one.
    context.run_migrations(op=Operations(context))
