"""BlobAdmin: the suite runs unchanged on every store and over gRPC."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey, ExpiredUpload, StoredBlob, UnfinishedUpload, UnlinkedBlob, UploadOwner
from blobsvc.domain.ports import BlobAdmin
from svckit.oci.digest import SHA256, SHA512, Digest
from tests.contract.blobsvc.conftest import Store
from tests.contract.blobsvc.steps import OWNER, append, keys, push, read, refused, started, until_stored

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def expire(
    admin: BlobAdmin,
    *,
    started_before: datetime = LONG_AGO,
    idle_since: datetime = LONG_AGO,
    finished_before: datetime = LONG_AGO,
) -> int:
    page = await admin.expire_uploads(
        started_before=started_before, idle_since=idle_since, finished_before=finished_before
    )
    assert page.next_after is None
    return len(page.uploads)


async def test_an_empty_store_lists_nothing(store: Store) -> None:
    page = await store.admin.list()
    assert (page.blobs, page.next_after) == ((), None)


async def test_it_tells_how_much_space_there_is(store: Store) -> None:
    capacity = await store.admin.capacity()
    assert 0 < capacity.free_bytes <= capacity.total_bytes


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
async def test_pages_hold_every_generation_once_and_in_order(store: Store, limit: int) -> None:
    pushed = [await push(store.uploads, bytes([number]), SHA256) for number in range(4)]
    pushed += [await push(store.uploads, bytes([number]), SHA512) for number in range(2)]
    pushed += [await push(store.uploads, b"\0"), await push(store.uploads, b"\0")]

    listed: list[StoredBlob] = []
    after = None
    while True:
        page = await store.admin.list(after=after, limit=limit)
        assert len(page.blobs) <= limit
        listed += page.blobs
        after = page.next_after
        if after is None:
            break

    assert listed == sorted(pushed, key=lambda blob: blob.key)


async def test_a_list_goes_on_after_a_key_that_is_gone(store: Store) -> None:
    blobs = sorted([await push(store.uploads, bytes([number])) for number in range(4)], key=lambda blob: blob.key)
    await store.admin.delete(blobs[1].key)
    page = await store.admin.list(after=blobs[1].key)
    assert list(page.blobs) == blobs[2:]


async def test_a_list_leaves_out_what_was_finished_later(store: Store) -> None:
    blob = await push(store.uploads, b"old or new")
    assert (await store.admin.list(finished_before=blob.create_time)).blobs == ()
    just_after = blob.create_time + timedelta(milliseconds=1)
    assert (await store.admin.list(finished_before=just_after)).blobs == (blob,)


async def test_uploads_under_way_are_not_listed(store: Store) -> None:
    await append(store.uploads, await started(store.uploads), b"not yet")
    assert await keys(store.admin) == []


async def test_a_delete_takes_one_generation_and_may_be_repeated(store: Store) -> None:
    first, second = await push(store.uploads, b"same"), await push(store.uploads, b"same")
    await store.admin.delete(first.key)
    await store.admin.delete(first.key)
    assert await keys(store.admin) == [second.key]
    with refused("BLOB_UNKNOWN"):
        await read(store.blobs, first.key)
    await store.admin.delete(second.key)
    assert await keys(store.admin) == []


async def test_deleting_what_never_was_succeeds(store: Store) -> None:
    await store.admin.delete(BlobKey(Digest.of(b"never"), Generation(1)))


async def test_deletes_and_finishes_of_one_digest_at_once_lose_nothing(store: Store) -> None:
    async def push_and_delete() -> None:
        await store.admin.delete((await push(store.uploads, b"same")).key)

    async def push_and_keep() -> BlobKey:
        return (await push(store.uploads, b"same")).key

    for _ in range(5):
        kept = await asyncio.gather(
            *(push_and_keep() for _ in range(3)), *(push_and_delete() for _ in range(6)), push_and_keep()
        )
        for key in kept:
            if key is not None:
                assert await read(store.blobs, key) == b"same"
                await store.admin.delete(key)
    assert await keys(store.admin) == []


async def test_a_session_that_rested_too_long_expires(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, b"some")
    assert await expire(store.admin) == 0
    assert await store.uploads.status(upload_id) == 4
    assert await expire(store.admin, idle_since=soon()) == 1
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(upload_id)
    assert await expire(store.admin, idle_since=soon()) == 0


async def test_a_session_that_began_too_long_ago_expires(store: Store) -> None:
    upload_id = await started(store.uploads)
    assert await expire(store.admin, started_before=soon()) == 1
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await append(store.uploads, upload_id, b"x")


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("dry_run", [False, True])
async def test_pages_of_expired_sessions_say_what_each_held(store: Store, limit: int, *, dry_run: bool) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    begun = [await started(store.uploads) for _ in range(5)]
    await append(store.uploads, begun[0], b"some")
    finished = await started(store.uploads)
    blob = await store.uploads.finish(finished, Digest.of(b""))

    found: list[ExpiredUpload] = []
    after = None
    while True:
        page = await store.admin.expire_uploads(
            started_before=soon(),
            idle_since=LONG_AGO,
            finished_before=soon(),
            after=after,
            limit=limit,
            dry_run=dry_run,
        )
        assert len(page.uploads) <= limit
        found += page.uploads
        after = page.next_after
        if after is None:
            break

    assert [upload.id for upload in found] == sorted(begun)
    assert {upload.id: upload.size_bytes for upload in found} == dict.fromkeys(begun, 0) | {begun[0]: 4}
    for upload in found:
        assert upload.owner == OWNER
        assert upload.start_time is not None
        assert before < upload.start_time < soon()
        assert before < upload.write_time < soon()
    assert len(await store.admin.list_unfinished()) == (5 if dry_run else 0)
    if dry_run:
        assert await store.uploads.finish(finished, Digest.of(b"")) == blob
    else:
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await store.uploads.finish(finished, Digest.of(b""))


async def test_a_session_that_is_being_written_does_not_expire(store: Store) -> None:
    upload_id = await started(store.uploads)
    async with store.uploads.open(upload_id) as appender:
        await appender.append(b"still ")
        await until_stored(store.uploads, upload_id, 6)
        assert await expire(store.admin, started_before=soon(), idle_since=soon()) == 0
        await appender.append(b"here")
        assert await appender.commit() == 10
    assert (await store.uploads.finish(upload_id, Digest.of(b"still here"))).size_bytes == 10


async def test_a_finish_can_be_repeated_until_it_is_forgotten_and_the_blob_stays(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, b"kept")
    blob = await store.uploads.finish(upload_id, Digest.of(b"kept"))
    await expire(store.admin, started_before=soon(), idle_since=soon())
    assert await store.uploads.finish(upload_id, Digest.of(b"kept")) == blob
    await expire(store.admin, finished_before=soon())
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, Digest.of(b"kept"))
    assert await read(store.blobs, blob.key) == b"kept"


async def unlinked(admin: BlobAdmin, finished_before: datetime | None = None) -> list[StoredBlob]:
    return [each.blob for each in (await admin.list_unlinked(finished_before=finished_before)).blobs]


async def test_a_finished_upload_is_unlinked_until_it_is_settled(store: Store) -> None:
    await append(store.uploads, await started(store.uploads), b"not yet")
    first, second = await push(store.uploads, b"same"), await push(store.uploads, b"same")
    page = await store.admin.list_unlinked()
    assert page.blobs == (UnlinkedBlob(first, OWNER), UnlinkedBlob(second, OWNER))
    assert page.next_after is None
    never = BlobKey(Digest.of(b"never"), Generation(1))
    await store.admin.settle([never, first.key])
    assert await unlinked(store.admin) == [second]
    await store.admin.settle([first.key, second.key])
    assert await unlinked(store.admin) == []
    # Settling deletes nothing.
    assert await read(store.blobs, first.key) == await read(store.blobs, second.key) == b"same"


async def test_unlinked_uploads_are_filtered_by_the_time_of_their_finish(store: Store) -> None:
    blob = await push(store.uploads, b"old or new")
    assert await unlinked(store.admin, blob.create_time) == []
    assert await unlinked(store.admin, blob.create_time + timedelta(milliseconds=1)) == [blob]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
async def test_pages_of_unlinked_uploads_hold_each_once_the_oldest_first(store: Store, limit: int) -> None:
    pushed = [await push(store.uploads, bytes([number]), SHA512 if number % 2 else SHA256) for number in range(5)]
    listed: list[StoredBlob] = []
    after = None
    while True:
        page = await store.admin.list_unlinked(after=after, limit=limit)
        assert len(page.blobs) <= limit
        listed += [each.blob for each in page.blobs]
        after = page.next_after
        if after is None:
            break
    assert listed == pushed


async def test_an_unlinked_upload_is_listed_until_it_is_settled_whatever_became_of_session_and_bytes(
    store: Store,
) -> None:
    blob = await push(store.uploads, b"nobody links it")
    await store.admin.delete(blob.key)
    await expire(store.admin, finished_before=soon())
    assert await unlinked(store.admin) == [blob]
    await store.admin.settle([blob.key])
    assert await unlinked(store.admin) == []


async def test_a_settled_upload_is_forgotten_with_its_record(store: Store) -> None:
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, b"linked")
    blob = await store.uploads.finish(upload_id, Digest.of(b"linked"))
    await store.admin.settle([blob.key])
    await expire(store.admin, finished_before=soon())
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, blob.digest)
    assert await read(store.blobs, blob.key) == b"linked"


async def test_open_sessions_are_listed_with_what_they_hold_until_they_end(store: Store) -> None:
    other = UploadOwner("library/other", 2, "robot:3")
    empty = (await store.uploads.start(other, SHA256)).id
    written, finished, cancelled = [await started(store.uploads) for _ in range(3)]
    for upload_id in (written, finished, cancelled):
        await append(store.uploads, upload_id, b"12345")
    await store.uploads.finish(finished, Digest.of(b"12345"))
    await store.uploads.cancel(cancelled)
    for _ in range(2):
        listed = sorted(await store.admin.list_unfinished(), key=lambda upload: upload.size_bytes)
        assert listed == [UnfinishedUpload(empty, other, 0), UnfinishedUpload(written, OWNER, 5)]
