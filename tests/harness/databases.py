"""A database for one test, on SQLite and on PostgreSQL. A test that uses it runs twice.

`database` is empty. `migrated_database` has the tables of the service whose history the fixture `migrations` names,
which a conftest.py defines:

    @pytest.fixture(scope="session")
    def migrations() -> ModuleType:
        return metasvc.store.migrations
"""

import fcntl
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from svckit.sql import opening
from svckit.sql.database import Database
from svckit.sql.migrate import migrate
from tests.harness.postgres import numbered_database
from tests.harness.postgres_server import PostgresServer

SCHEMA = "service"
# More than any test has units of work at the same time.
POOL_SIZE = 10


async def open_database(url: str) -> Database:
    """A database, open; on PostgreSQL its schema is "service"."""
    return await opening.open_database(url, schema=SCHEMA, pool_size=POOL_SIZE)


class Templates:
    """Databases with tables, one of each kind for each service. Tests get copies of them.

    A migration takes longer than most tests, so the workers of a run share the templates.
    """

    def __init__(self, folder: Path) -> None:
        """Makes each template when it is first needed.

        Args:
            folder: for the SQLite files and the marks of finished templates; the same for all workers.
        """
        self._folder = folder

    async def sqlite_file(self, migrations: ModuleType) -> Path:
        """The file of a database with a service's tables."""
        file = self._folder / f"{migrations.__name__}.db"
        with self.made_once(file.name) as make:
            if make:
                await _migrated(f"sqlite:///{file}", migrations)
        return file

    async def postgres_name(self, server: PostgresServer, migrations: ModuleType) -> str:
        """The name of a database with a service's tables."""
        name = f"template of {migrations.__name__}"
        with self.made_once(name) as make:
            if make:
                # An unfinished one may exist.
                server.drop_database(name)
                await _migrated(server.create_database(name), migrations)
        return name

    @contextmanager
    def made_once(self, name: str) -> Iterator[bool]:
        """Whether this worker must make it. Others wait until it is made; if this one fails, another one makes it."""
        note = self._folder / f"{name}.made"
        if note.exists():
            yield False
            return
        # Not NAME.lock: that is the lock of a process that has opened the SQLite database.
        with (self._folder / f"{name}.making").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            make = not note.exists()
            yield make
            if make:
                note.touch()


async def _migrated(url: str, migrations: ModuleType) -> None:
    database = await open_database(url)
    try:
        await migrate(database, migrations)
    finally:
        # PostgreSQL copies only a database without connections, and a SQLite file is complete only after it is closed.
        await database.close()


@pytest.fixture(scope="session")
def database_templates(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Templates:
    """The templates of this run."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        # The folder of a worker is inside the folder of the run.
        folder = folder.parent
    templates = folder / "templates"
    templates.mkdir(exist_ok=True)
    return Templates(templates)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database there is."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    # Requested by name, so that a run without PostgreSQL tests does not start a server.
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database of `database_url`, open, without tables."""
    database = await open_database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def migrated_database_url(
    request: pytest.FixtureRequest,
    database_kind: str,
    tmp_path: Path,
    database_templates: Templates,
    migrations: ModuleType,
) -> AsyncIterator[str]:
    """The URL of a database with the tables of a service, once of each kind."""
    with ExitStack() as stack:
        if database_kind == "sqlite":
            file = shutil.copyfile(await database_templates.sqlite_file(migrations), tmp_path / "service.db")
            url = f"sqlite:///{file}"
        else:
            # Requested by name, as above.
            server: PostgresServer = request.getfixturevalue("postgres_server")
            template = await database_templates.postgres_name(server, migrations)
            url = stack.enter_context(numbered_database(server, template))
        yield url


@pytest.fixture
async def migrated_database(migrated_database_url: str) -> AsyncIterator[Database]:
    """The database of `migrated_database_url`, open."""
    database = await open_database(migrated_database_url)
    yield database
    await database.close()
