"""A gateway that moves uploads from the socket into the file, and a record of what it moves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.conftest import House, MakeHouse
from tests.unit.gateway.handover.moving import Moves, Upload, watch_moves


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    return watch_moves(monkeypatch)


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    return await make_house(placement="file")


@pytest.fixture(autouse=True)
async def closed_connections() -> AsyncIterator[None]:
    yield
    Upload.close_all()
    await asyncio.sleep(0)
