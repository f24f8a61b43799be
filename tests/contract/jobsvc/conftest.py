"""Fixtures of this folder: an engine on each kind of database."""

from types import ModuleType

import pytest

from jobsvc.engine.store import migrations as history
from svckit.sql.database import Database
from tests.contract.jobsvc.engine import Engine


@pytest.fixture
def migrations() -> ModuleType:
    """The history of jobsvc's tables."""
    return history


@pytest.fixture
async def engine(migrated_database: Database) -> Engine:
    """An engine with the kinds of `tests.contract.jobsvc.engine`."""
    engine = Engine(migrated_database)
    await engine.start()
    return engine
