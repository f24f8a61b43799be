"""A file-system store in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from blobsvc.store.filesystem import FileStore
from tests.unit.blobsvc.disk import Disk


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def disk(tmp_path: Path, registry: CollectorRegistry) -> AsyncIterator[Disk]:
    """A store, its folder, and further processes on it."""
    store = await FileStore.open(tmp_path, registry)
    disk = Disk(tmp_path, store, registry)
    try:
        yield disk
    finally:
        disk.close()
