"""The database of a process: open, migrated, and looked after."""

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
    """The service's database, as `open_migrated` gives it, as a need of the process.

    Args:
        process: whose settings name it. It is NOT_SERVING while the database is away, and takes no more data while the
            disk of a SQLite file is full.
        migrations: the package of the service's history.

    Raises:
        MigrationError: as `open_migrated`.
        DatabaseInUseError: likewise.
        DomainError: likewise.
    """
    async with open_migrated(process.settings, migrations) as database:
        process.needs.require("database", database.ping)
        if (folder := process.settings.sqlite_folder) is not None:
            process.needs.keep_free(folder, process.settings.reserved_bytes)
        yield database
