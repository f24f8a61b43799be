"""A log on each kind of database, and its server."""

from collections.abc import AsyncIterator

import pytest

from svckit.sql.database import Database
from tests.contract.svckit.changes.world import ChangeWorld, make_tables, serving


@pytest.fixture
async def log_database(database: Database) -> Database:
    """A database with the tables of a log."""
    await make_tables(database)
    return database


@pytest.fixture
async def world(log_database: Database) -> AsyncIterator[ChangeWorld]:
    """A log that is empty."""
    async with serving(log_database) as made:
        yield made
