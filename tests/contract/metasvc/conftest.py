"""A metasvc on each kind of database."""

from types import ModuleType

import pytest

import metasvc.store.migrations
from svckit.sql.database import Database
from tests.contract.metasvc.world import World


@pytest.fixture(scope="session")
def migrations() -> ModuleType:
    """The history of metasvc's tables."""
    return metasvc.store.migrations


@pytest.fixture
async def world(migrated_database: Database) -> World:
    """The domain on a database without rows, once of each kind."""
    return World(migrated_database)
