"""Reads that have to write something first, such as to postpone a review, while nothing can be written."""

import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from metasvc.domain.model import BlobKey
from metasvc.domain.quarantine import quarantine_found
from svckit.errors import DomainError, error_for
from svckit.tokens import Finding
from tests.contract.metasvc.world import World, blob_digest, image
from tests.harness.databases import Templates, open_database
from tests.harness.small_disk import SmallDisk, small_disk

MEBIBYTE = 1024 * 1024
PUSHED = image("one")
LAYER = blob_digest("base")
FINDING = Finding(subject="service:blobsvc", digest=LAYER, generation=1, damage="missing", store_id="store")


async def read_blob(world: World) -> str:
    return (await world.resolve_blob("alpha/app", LAYER)).digest


async def head_manifest(world: World) -> str:
    return (await world.resolve("alpha/app", "v1", content=False)).digest


READS = pytest.mark.parametrize(
    ("read", "found"), [(read_blob, LAYER), (head_manifest, PUSHED.digest)], ids=["a blob", "HEAD of a manifest"]
)


async def push_long_ago(world: World) -> None:
    """An image whose reviews are near."""
    await world.push("alpha/app", PUSHED, "v1")
    world.later(hours=23)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 4 * MEBIBYTE) as disk:
        yield disk


async def test_reads_succeed_without_a_byte_of_space(
    disk: SmallDisk, database_templates: Templates, migrations: ModuleType
) -> None:
    file = shutil.copyfile(await database_templates.sqlite_file(migrations), disk.folder / "meta.db")
    database = await open_database(f"sqlite:///{file}")
    try:
        world = World(database)
        await push_long_ago(world)
        disk.fill()
        with pytest.raises(DomainError) as refused:
            await world.link("alpha/app", blob_digest("new"))
        assert refused.value.reason == "STORAGE_FULL"

        assert await read_blob(world) == LAYER
        assert await head_manifest(world) == PUSHED.digest
        # What a read has found is written down by a later one.
        assert not await quarantine_found(world.ports, FINDING)
        assert await read_blob(world) == LAYER
        disk.empty()
        assert await quarantine_found(world.ports, FINDING)
        assert world.findings.found == [(BlobKey(LAYER, 1), "missing", "read")]
    finally:
        await database.close()


def fail_writes(monkeypatch: pytest.MonkeyPatch, world: World, reason: str) -> None:
    """Lets each write of the world fail."""

    def write(*, short: bool = False) -> NoReturn:
        raise error_for(reason)

    monkeypatch.setattr(world.store, "write", write)


@READS
async def test_a_read_goes_on_while_the_database_has_no_room(
    monkeypatch: pytest.MonkeyPatch, world: World, read: Callable[[World], Awaitable[str]], found: str
) -> None:
    await push_long_ago(world)
    fail_writes(monkeypatch, world, "STORAGE_FULL")

    assert await read(world) == found


@pytest.mark.parametrize("read", [read_blob, head_manifest])
async def test_a_read_fails_if_its_write_fails_for_another_reason(
    monkeypatch: pytest.MonkeyPatch, world: World, read: Callable[[World], Awaitable[str]]
) -> None:
    """Otherwise a push would rely on what garbage collection is about to take."""
    await push_long_ago(world)
    fail_writes(monkeypatch, world, "UNAVAILABLE")

    with pytest.raises(DomainError) as refused:
        await read(world)

    assert refused.value.reason == "UNAVAILABLE"


async def test_a_finding_is_not_lost_if_its_write_fails_for_another_reason(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    await push_long_ago(world)
    fail_writes(monkeypatch, world, "UNAVAILABLE")

    with pytest.raises(DomainError) as refused:
        await quarantine_found(world.ports, FINDING)

    assert refused.value.reason == "UNAVAILABLE"
