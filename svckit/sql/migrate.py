"""Brings a database's tables to what the program expects, by Alembic, without an alembic.ini.

A service keeps its history in a package, `<service>/store/migrations/`: `versions/0001_….py` and so on are Alembic
scripts, each named for its revision. Their `upgrade` takes the operations as its argument (Alembic's own `op` is a
global, and two databases may be migrated in one process):

    from alembic.operations import Operations
    revision = "0001"
    down_revision = None

    def upgrade(op: Operations) -> None:
        op.create_table(...)

`tests/harness/migrations.py` holds the history against the tables that the store declares.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, select, table, text

from svckit.errors.start import StartError
from svckit.sql.database import Database
from svckit.sql.opening import open_database
from svckit.sql.settings import DatabaseServiceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext, RevisionStep

VERSION_TABLE = "alembic_version"


class MigrationError(StartError):
    """The tables could not be brought to what the program expects; nothing was changed."""


class NewerDatabaseError(MigrationError):
    """The database was written by a newer program than this one."""


async def migrate(database: Database, migrations: ModuleType, *, version_table: str = VERSION_TABLE) -> None:
    """Runs every migration that the database lacks, in one transaction, while every other process waits.

    Args:
        database: Where the tables live. The PostgreSQL schema is created when it is missing.
        migrations: The package of the service's history, with the folder `versions`.
        version_table: The table that says which revision the database holds.

    Raises:
        NewerDatabaseError: The database holds a revision that this program does not know.
        MigrationError: A migration left a foreign key without its row (SQLite).
        DomainError: UNAVAILABLE, as every unit.
    """
    if await _revision(database, version_table) == newest_revision(migrations):
        # The usual start. Alembic is not even imported: that alone would take a third of a second.
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
    """A service's database, open, with the tables that its program expects, and closed at the end.

    Args:
        settings: Say which database, and how many connections.
        migrations: The package of the service's history, as `migrate` takes it.

    Raises:
        MigrationError: As `migrate`.
        DatabaseInUseError: Another process has the SQLite file open.
        DomainError: UNAVAILABLE; the database does not answer.
    """
    database = await open_database(
        settings.database_url.get_secret_value(),
        schema=settings.database_schema,
        pool_size=settings.database_pool_size,
    )
    try:
        await migrate(database, migrations)
        yield database
    finally:
        await database.close()


def migration_folder(migrations: ModuleType) -> Path:
    """The folder of a service's history, above `versions`."""
    return Path(migrations.__path__[0])


def newest_revision(migrations: ModuleType) -> str:
    """The newest revision of a service's history, by the names of its scripts: Alembic would have to load them all."""
    scripts = (migration_folder(migrations) / "versions").glob("[0-9]*_*.py")
    return max(script.name.partition("_")[0] for script in scripts)


async def _revision(database: Database, version_table: str) -> str | None:
    async with database.read() as conn:
        if not await conn.run_sync(lambda sync: sync.dialect.has_table(sync, version_table)):
            return None
        held: str | None = await conn.scalar(select(column("version_num")).select_from(table(version_table)))
        return held


def _upgrade(conn: Connection, folder: Path, version_table: str) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(str(folder))

    def steps(held: str, _context: "MigrationContext") -> "Sequence[RevisionStep]":
        # What alembic.command.upgrade calls; it has no public name.
        return scripts._upgrade_revs("head", held)  # noqa: SLF001

    context = MigrationContext.configure(conn, opts={"fn": steps, "version_table": version_table})
    for held in context.get_current_heads():
        try:
            scripts.get_revision(held)
        except CommandError as error:
            raise NewerDatabaseError(
                f"the database holds revision {held!r}, which this program does not know: a newer one has run on it"
            ) from error
    # The connection is in a transaction already, and Alembic leaves it to us.
    context.run_migrations(op=Operations(context))
