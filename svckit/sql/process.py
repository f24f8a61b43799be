"""Opens the database of a process, and monitors it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from svckit.sql.migrate import open_migrated
from svckit.sql.settings import DatabaseServiceSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import ModuleType

    from svckit.process.process import ServiceProcess
    from svckit.sql.database import Database

S = TypeVar("S", bound=DatabaseServiceSettings)


@asynccontextmanager
async def open_needed(process: ServiceProcess[S], migrations: ModuleType) -> AsyncIterator[Database]:
    """Opens the service's database with `open_migrated`, and adds it to the needs of the process.

    Args:
        process: the process, whose settings name the database. It is NOT_SERVING while the database does not answer. It
            refuses calls that add data while the disk of a SQLite file is full.
        migrations: the package of the service's migrations.

    Raises:
        MigrationError: as `open_migrated`.
        DatabaseInUseError: as `open_migrated`.
        DomainError: as `open_migrated`.
    """
    async with open_migrated(process.settings, migrations) as database:
        process.needs.require("database", database.ping)
        if (folder := process.settings.sqlite_folder) is not None:
            process.needs.keep_free(folder, process.settings.reserved_bytes)
        yield database
