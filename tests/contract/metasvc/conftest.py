"""A metasvc on each kind of database."""

import pytest

from metasvc.store import migrations
from svckit.sql.database import Database
from svckit.sql.migrate import migrate
from tests.contract.metasvc.world import World


@pytest.fixture
async def world(database: Database) -> World:
    """The domain on an empty database, once of each kind."""
    await migrate(database, migrations)
    return World(database)
