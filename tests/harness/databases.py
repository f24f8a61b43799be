"""A database for one test, on SQLite and on PostgreSQL: whoever asks for it runs twice.

`database` is empty. `migrated_database` has the tables of the service whose history the fixture `migrations` names,
which a conftest.py defines:

    @pytest.fixture(scope="session")
    def migrations() -> ModuleType:
        return metasvc.store.migrations
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from svckit.sql import opening
from svckit.sql.database import Database
from svckit.sql.migrate import migrate
from tests.harness.postgres import PostgresServer, numbered_database

SCHEMA = "service"
# More than any test has units of work at once.
POOL_SIZE = 10


async def open_database(url: str) -> Database:
    """A database, open; on PostgreSQL its schema is "service"."""
    return await opening.open_database(url, schema=SCHEMA, pool_size=POOL_SIZE)


class Templates:
    """Databases with tables, one of each kind for each service, which tests get copies of.

    To migrate an empty one takes longer than most tests.
    """

    def __init__(self, folder: Path) -> None:
        """Has made none.

        Args:
            folder: for those of SQLite.
        """
        self._folder = folder
        self._files: dict[str, Path] = {}
        self._names: dict[str, str] = {}

    async def sqlite_file(self, migrations: ModuleType) -> Path:
        """The file of a database with a service's tables."""
        service = migrations.__name__
        if service not in self._files:
            file = self._folder / f"{service}.db"
            await _migrated(f"sqlite:///{file}", migrations)
            self._files[service] = file
        return self._files[service]

    async def postgres_name(self, server: PostgresServer, migrations: ModuleType) -> str:
        """The name of a database with a service's tables."""
        service = migrations.__name__
        if service not in self._names:
            name = f"template of {service}"
            await _migrated(server.create_database(name), migrations)
            self._names[service] = name
        return self._names[service]


async def _migrated(url: str, migrations: ModuleType) -> None:
    database = await open_database(url)
    try:
        await migrate(database, migrations)
    finally:
        # PostgreSQL copies no database that somebody is connected to; SQLite's file is whole once it is closed.
        await database.close()


@pytest.fixture(scope="session")
def database_templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """The templates of this session."""
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database there is."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    # Asked for by name, so that a run without PostgreSQL starts none.
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database of `database_url`, open, without tables."""
    database = await open_database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def migrated_database(
    request: pytest.FixtureRequest,
    database_kind: str,
    tmp_path: Path,
    database_templates: Templates,
    migrations: ModuleType,
) -> AsyncIterator[Database]:
    """A database with the tables of a service, open, once of each kind."""
    with ExitStack() as stack:
        if database_kind == "sqlite":
            file = shutil.copyfile(await database_templates.sqlite_file(migrations), tmp_path / "service.db")
            url = f"sqlite:///{file}"
        else:
            # Asked for by name, as above.
            server: PostgresServer = request.getfixturevalue("postgres_server")
            template = await database_templates.postgres_name(server, migrations)
            url = stack.enter_context(numbered_database(server, template))
        database = await open_database(url)
        yield database
        await database.close()
