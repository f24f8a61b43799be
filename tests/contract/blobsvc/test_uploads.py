"""UploadWriter: the suite runs unchanged on every store and over gRPC."""

import asyncio
from contextlib import suppress

import pytest

from blobsvc.domain.model import UploadId
from svckit.errors import DomainError
from svckit.oci.digest import SHA256, SHA512, Digest
from tests.contract.blobsvc.conftest import Store
from tests.contract.blobsvc.steps import (
    Append,
    append,
    append_at_once,
    both_ways,
    keys,
    push,
    read,
    refused,
    started,
    until_free,
    until_stored,
)

DATA = b"0123456789" * 1000


@pytest.mark.parametrize("algorithm", [SHA256, SHA512])
async def test_bytes_that_were_appended_are_the_blob(store: Store, algorithm: str) -> None:
    upload_id = await started(store.uploads, algorithm)
    assert await store.uploads.status(upload_id) == 0
    assert await append(store.uploads, upload_id, DATA[:100], DATA[100:101]) == 101
    assert await append(store.uploads, upload_id, DATA[101:], offset=101) == len(DATA)
    assert await store.uploads.status(upload_id) == len(DATA)

    blob = await store.uploads.finish(upload_id, Digest.of(DATA, algorithm), len(DATA))

    assert (blob.digest, blob.size_bytes) == (Digest.of(DATA, algorithm), len(DATA))
    assert await read(store.blobs, blob.key) == DATA


async def test_bytes_of_many_sizes_arrive_in_order(store: Store) -> None:
    chunks = [bytes([number % 251]) * size for number, size in enumerate([1, 3, 70_000, 0, 2_000_001, 1, 1_048_576, 9])]
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, *chunks)
    whole = b"".join(chunks)
    blob = await store.uploads.finish(upload_id, Digest.of(whole))
    assert await read(store.blobs, blob.key) == whole


@pytest.mark.parametrize("algorithm", [SHA256, SHA512])
async def test_an_empty_blob_needs_no_bytes(store: Store, algorithm: str) -> None:
    blob = await push(store.uploads, b"", algorithm)
    assert blob.size_bytes == 0
    assert await read(store.blobs, blob.key) == b""


async def test_bytes_that_are_appended_at_once_are_the_blob_with_those_before_and_after(store: Store) -> None:
    upload_id = await started(store.uploads)
    assert await store.uploads.append(upload_id, DATA[:500]) == 500
    assert await append(store.uploads, upload_id, DATA[500:1000], offset=500) == 1000
    assert await store.uploads.append(upload_id, b"", 1000) == 1000
    assert await store.uploads.append(upload_id, DATA[1000:2000], 1000) == 2000
    assert await store.uploads.status(upload_id) == 2000
    blob = await store.uploads.finish(upload_id, Digest.of(DATA[:2000]))
    assert await read(store.blobs, blob.key) == DATA[:2000]


async def test_an_empty_write_is_a_write(store: Store) -> None:
    upload_id = await started(store.uploads)
    assert await append(store.uploads, upload_id, offset=0) == 0
    assert await append(store.uploads, upload_id, b"", offset=0) == 0


@pytest.mark.parametrize(("announced", "named"), [(SHA256, SHA512), (SHA512, SHA256)])
async def test_the_closing_digest_may_be_of_another_algorithm_than_announced(
    store: Store, announced: str, named: str
) -> None:
    upload_id = await started(store.uploads, announced)
    await append(store.uploads, upload_id, DATA)
    blob = await store.uploads.finish(upload_id, Digest.of(DATA, named))
    assert blob.digest == Digest.of(DATA, named)
    assert await read(store.blobs, blob.key) == DATA


@both_ways
@pytest.mark.parametrize("offset", [0, 1, 99, 101, 2**40])
async def test_an_offset_that_is_not_the_end_is_refused_with_the_size(store: Store, offset: int, write: Append) -> None:
    upload_id = await started(store.uploads)
    await write(store.uploads, upload_id, DATA[:100])
    with refused("RANGE_INVALID") as error:
        await write(store.uploads, upload_id, b"x", offset=offset)
    assert error.metadata["committed_size"] == "100"
    # The session survives, and goes on where it was.
    assert await append(store.uploads, upload_id, DATA[100:], offset=100) == len(DATA)
    await store.uploads.finish(upload_id, Digest.of(DATA))


async def test_bytes_of_a_broken_stream_stay(store: Store) -> None:
    upload_id = await started(store.uploads)

    with suppress(ConnectionError):
        async with store.uploads.open(upload_id, 0) as appender:
            await appender.append(DATA[:500])
            await until_stored(store.uploads, upload_id, 500)
            raise ConnectionError("the client is gone")

    assert await store.uploads.status(upload_id) == 500
    assert await until_free(lambda: append(store.uploads, upload_id, DATA[500:], offset=500)) == len(DATA)
    assert (await store.uploads.finish(upload_id, Digest.of(DATA))).size_bytes == len(DATA)


async def test_a_second_writer_is_refused_and_the_first_goes_on(store: Store) -> None:
    upload_id = await started(store.uploads)
    async with store.uploads.open(upload_id, 0) as appender:
        await appender.append(b"first")
        await until_stored(store.uploads, upload_id, 5)
        for offset in (None, 0, 5):
            for write in (append, append_at_once):
                with refused("UPLOAD_CONFLICT"):
                    await write(store.uploads, upload_id, b"second", offset=offset)
        await appender.append(b" and last")
        assert await appender.commit() == 14
    blob = await store.uploads.finish(upload_id, Digest.of(b"first and last"))
    assert await read(store.blobs, blob.key) == b"first and last"


@both_ways
async def test_of_writers_that_race_for_an_offset_one_wins(store: Store, write: Append) -> None:
    upload_id = await started(store.uploads)
    pieces = [bytes([number]) * 10_000 for number in range(8)]

    async def race(piece: bytes) -> bytes | None:
        try:
            await write(store.uploads, upload_id, piece, offset=0)
        except DomainError as error:
            if error.reason not in {"UPLOAD_CONFLICT", "RANGE_INVALID"}:
                raise
            return None
        return piece

    winners = [piece for piece in await asyncio.gather(*(race(piece) for piece in pieces)) if piece is not None]

    assert len(winners) == 1
    blob = await store.uploads.finish(upload_id, Digest.of(winners[0]))
    assert await read(store.blobs, blob.key) == winners[0]


async def test_a_wrong_size_is_refused_and_the_session_lives(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    for size in (0, len(DATA) - 1, len(DATA) + 1):
        with refused("SIZE_INVALID"):
            await store.uploads.finish(upload_id, Digest.of(DATA), size)
    assert await store.uploads.status(upload_id) == len(DATA)
    assert (await store.uploads.finish(upload_id, Digest.of(DATA), len(DATA))).size_bytes == len(DATA)


async def test_a_digest_of_other_bytes_ends_the_session(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    with refused("DIGEST_INVALID"):
        await store.uploads.finish(upload_id, Digest.of(b"something else"))
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(upload_id)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, Digest.of(DATA))
    assert await keys(store.admin) == []


async def test_a_repeated_finish_gives_the_same_blob(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    first = await store.uploads.finish(upload_id, Digest.of(DATA), len(DATA))
    again = await store.uploads.finish(upload_id, Digest.of(DATA), len(DATA))
    assert again == first
    assert await keys(store.admin) == [first.key]


async def test_finishes_at_once_give_the_same_blob(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    blobs = await asyncio.gather(*(store.uploads.finish(upload_id, Digest.of(DATA)) for _ in range(6)))
    assert len(set(blobs)) == 1
    assert await keys(store.admin) == [blobs[0].key]


async def test_a_finished_session_is_unknown_to_everything_but_its_own_finish(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    blob = await store.uploads.finish(upload_id, Digest.of(DATA))
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(upload_id)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await append(store.uploads, upload_id, b"more")
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.cancel(upload_id)
    for digest in (Digest.of(b"another"), Digest.of(DATA, SHA512)):
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await store.uploads.finish(upload_id, digest)
    assert await read(store.blobs, blob.key) == DATA


@pytest.mark.parametrize("settled", [False, True])
async def test_a_finish_is_repeated_from_its_record_when_its_bytes_are_gone(store: Store, settled: bool) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    blob = await store.uploads.finish(upload_id, Digest.of(DATA))
    if settled:
        await store.admin.settle([blob.key])
    await store.admin.delete(blob.key)
    assert await store.uploads.finish(upload_id, Digest.of(DATA)) == blob
    assert await keys(store.admin) == []
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, Digest.of(b"another"))


async def test_nothing_is_finished_while_somebody_writes(store: Store) -> None:
    upload_id = await started(store.uploads)
    async with store.uploads.open(upload_id) as appender:
        await appender.append(DATA[:10])
        await until_stored(store.uploads, upload_id, 10)
        finishing = asyncio.ensure_future(until_free(lambda: store.uploads.finish(upload_id, Digest.of(DATA))))
        await appender.append(DATA[10:])
        assert await appender.commit() == len(DATA)
    # It came before the last byte, and saw all of them: the digest would not match otherwise.
    assert (await finishing).size_bytes == len(DATA)


async def test_every_upload_of_the_same_bytes_is_a_generation_of_its_own(store: Store) -> None:
    first = await push(store.uploads, DATA)
    second = await push(store.uploads, DATA)
    assert first.digest == second.digest
    assert first.generation < second.generation
    await store.admin.delete(first.key)
    assert await read(store.blobs, second.key) == DATA


async def test_uploads_at_once_do_not_touch_each_other(store: Store) -> None:
    contents = [bytes([number]) * (200_000 + number) for number in range(12)]
    blobs = await asyncio.gather(*(push(store.uploads, content) for content in contents))
    for blob, content in zip(blobs, contents, strict=True):
        assert await read(store.blobs, blob.key) == content
    assert len({blob.generation for blob in blobs}) == len(blobs)


async def test_a_cancelled_session_is_gone(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, DATA)
    await store.uploads.cancel(upload_id)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.cancel(upload_id)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(upload_id)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await append(store.uploads, upload_id, b"x", offset=0)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, Digest.of(DATA))
    assert await keys(store.admin) == []


async def test_a_session_that_never_was_is_unknown(store: Store) -> None:
    unknown = UploadId.new()
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(unknown)
    for write in (append, append_at_once):
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await write(store.uploads, unknown, b"x")
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(unknown, Digest.of(DATA))
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.cancel(unknown)
