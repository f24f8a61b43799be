"""BlobReader: the suite runs unchanged on every store and over gRPC."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey
from svckit.oci.digest import SHA512, Digest
from tests.contract.blobsvc.conftest import Store
from tests.contract.blobsvc.steps import push, read, refused

# Larger than two chunks, and no multiple of any.
DATA = bytes(range(251)) * 10_000


@pytest.mark.parametrize(
    ("offset", "limit"),
    [
        (0, 0),
        (0, 1),
        (0, len(DATA)),
        (0, len(DATA) + 1),
        (1, 0),
        (1, 1),
        (1_048_575, 3),
        (1_048_576, 1_048_576),
        (1_000_000, 1_200_000),
        (len(DATA) - 1, 0),
        (len(DATA) - 1, 1),
        (len(DATA) - 1, 2**40),
    ],
)
async def test_a_range_is_those_bytes(store: Store, offset: int, limit: int) -> None:
    blob = await push(store.uploads, DATA)
    expected = DATA[offset : offset + limit] if limit else DATA[offset:]
    assert await read(store.blobs, blob.key, offset, limit) == expected


@pytest.mark.parametrize(("offset", "limit"), [(10, 0), (10, 1), (11, 0), (2**62, 0), (-1, 0), (0, -1), (3, -1)])
async def test_a_range_outside_of_the_blob_is_refused_with_the_size(store: Store, offset: int, limit: int) -> None:
    blob = await push(store.uploads, b"0123456789")
    with refused("RANGE_INVALID") as error:
        await read(store.blobs, blob.key, offset, limit)
    assert error.metadata["size"] == "10"


async def test_an_empty_blob_has_no_range_but_the_whole(store: Store) -> None:
    blob = await push(store.uploads, b"")
    assert await read(store.blobs, blob.key, 0, 5) == b""
    with refused("RANGE_INVALID"):
        await read(store.blobs, blob.key, 1)


async def test_chunks_are_of_one_mebibyte_at_most(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    async with store.blobs.open(blob.key) as opened:
        assert opened.blob == blob
        sizes = [len(chunk) async for chunk in opened.chunks]
    assert sum(sizes) == len(DATA)
    assert max(sizes) <= 1_048_576


async def test_a_stat_says_size_and_time(store: Store) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    blob = await push(store.uploads, DATA, SHA512)
    found = await store.blobs.stat(blob.key)
    assert found == blob
    assert found.size_bytes == len(DATA)
    assert before <= found.create_time <= datetime.now(UTC) + timedelta(seconds=1)


async def test_what_is_not_there_is_unknown(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    absent = (
        BlobKey(blob.digest, Generation(blob.generation.number + 1)),
        BlobKey(Digest.of(b"never pushed"), blob.generation),
        BlobKey(Digest.of(DATA, SHA512), blob.generation),
    )
    for key in absent:
        with refused("BLOB_UNKNOWN"):
            await store.blobs.stat(key)
        with refused("BLOB_UNKNOWN"):
            await read(store.blobs, key)


async def test_many_readers_of_one_blob_all_get_it(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    results = await asyncio.gather(*(read(store.blobs, blob.key, offset) for offset in range(40)))
    for offset, result in enumerate(results):
        assert result == DATA[offset:]


async def test_a_reader_that_leaves_early_leaves_nothing_behind(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    for _ in range(20):
        async with store.blobs.open(blob.key) as opened:
            async for _chunk in opened.chunks:
                break
    assert await read(store.blobs, blob.key) == DATA


async def test_a_delete_takes_nothing_from_who_is_reading(store: Store) -> None:
    blob = await push(store.uploads, DATA)
    async with store.blobs.open(blob.key) as opened:
        chunks = aiter(opened.chunks)
        first = await anext(chunks)
        await store.admin.delete(blob.key)
        rest = [chunk async for chunk in chunks]
    assert b"".join([first, *rest]) == DATA
    with refused("BLOB_UNKNOWN"):
        await store.blobs.stat(blob.key)


async def test_sizes_of_many_are_told_in_their_order_and_missing_ones_are_told_as_such(store: Store) -> None:
    blobs = [await push(store.uploads, b"x" * size) for size in (3, 0, 5)]
    absent = BlobKey(blobs[0].digest, Generation(7))
    wanted = [blobs[2].key, absent, blobs[0].key, blobs[1].key, blobs[2].key]
    assert await store.blobs.sizes(wanted) == [5, None, 3, 0, 5]
