"""Uploads whose file somebody else writes: hashed beside, made durable, and ended when the disk has lost bytes."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from blobsvc.domain.model import UploadId
from blobsvc.domain.ports import UploadFollower
from blobsvc.store.filesystem import follower as follower_module
from blobsvc.store.filesystem import session as session_module
from blobsvc.store.filesystem import uploads as uploads_module
from blobsvc.store.filesystem.follower import FollowedFile
from blobsvc.store.filesystem.writeback import begin_writeback
from svckit.oci.digest import SHA512, Digest
from tests.contract.blobsvc.steps import append, read, refused, started
from tests.harness.waiting import wait_until_async
from tests.unit.blobsvc.disk import Disk

DATA = bytes(range(256)) * 40_000


@contextmanager
def writer(disk: Disk, upload_id: UploadId) -> Iterator[int]:
    """What a gateway does: the locked data file, to append to."""
    descriptor = os.open(disk.data(upload_id), os.O_WRONLY | os.O_APPEND)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def hashed_bytes(disk: Disk, upload_id: UploadId) -> int:
    return disk.store.uploads._progress[upload_id].hashed_bytes


async def until_hashed(disk: Disk, upload_id: UploadId, size: int) -> None:
    await wait_until_async(
        lambda: hashed_bytes(disk, upload_id), "the bytes to be hashed", wanted=lambda count: count == size
    )


async def write_followed(disk: Disk, upload_id: UploadId, data: bytes, offset: int | None = None) -> UploadFollower:
    async with disk.store.uploads.follow(upload_id, offset) as followed:
        with writer(disk, upload_id) as descriptor:
            size = followed.placement.committed_size_bytes + os.write(descriptor, data)
            followed.grown(size)
            await until_hashed(disk, upload_id, size)
            assert await followed.commit() == size
    return followed


async def test_bytes_are_hashed_while_the_writer_still_holds_the_lock(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    followed = await write_followed(disk, upload_id, DATA)
    place = followed.placement
    assert (place.path, place.store_id) == (f"uploads/{upload_id}/data", disk.store.id)
    assert (place.inode, place.committed_size_bytes) == (disk.data(upload_id).stat().st_ino, 0)
    await write_followed(disk, upload_id, DATA, offset=len(DATA))
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA + DATA))
    assert await read(disk.store.blobs, blob.key) == DATA + DATA
    # The finish had nothing left to read.
    assert disk.counted("blobsvc_rehashed_bytes_total") == 0
    assert disk.counted("blobsvc_uploaded_bytes_total") == 2 * len(DATA)
    assert disk.counted("blobsvc_uploads_held") == 0


async def test_both_ways_of_writing_follow_each_other(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA)
    await write_followed(disk, upload_id, b"by the file", offset=len(DATA))
    await append(disk.store.uploads, upload_id, b"by the stream")
    await disk.store.uploads.finish(upload_id, Digest.of(DATA + b"by the file" + b"by the stream"))
    assert disk.counted("blobsvc_rehashed_bytes_total") == 0


async def test_what_was_not_hashed_beside_is_hashed_by_the_finish(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    async with disk.store.uploads.follow(upload_id) as followed:
        with writer(disk, upload_id) as descriptor:
            os.write(descriptor, DATA)
            # A writer that says nothing.
            assert await followed.commit() == len(DATA)
    await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert disk.counted("blobsvc_rehashed_bytes_total") == len(DATA)


async def test_a_digest_of_another_algorithm_is_found_all_the_same(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    await write_followed(disk, upload_id, DATA)
    await disk.store.uploads.finish(upload_id, Digest.of(DATA, SHA512))
    assert disk.counted("blobsvc_rehashed_bytes_total") == len(DATA)


async def test_a_file_is_followed_only_from_the_size_that_the_caller_expects(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA)
    with refused("RANGE_INVALID") as refusal:
        async with disk.store.uploads.follow(upload_id, 5):
            pass
    assert refusal.metadata["committed_size"] == str(len(DATA))


async def test_while_a_writer_holds_the_file_nobody_else_writes_finishes_cancels_or_expires_it(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "_LOCK_WAIT_SECONDS", 0.1)
    upload_id = await started(disk.store.uploads)
    uploads = disk.store.uploads
    async with uploads.follow(upload_id):
        with writer(disk, upload_id) as descriptor:
            os.write(descriptor, DATA)
            with refused("UPLOAD_CONFLICT"):
                await append(uploads, upload_id, b"x")
            with refused("UPLOAD_CONFLICT"):
                await uploads.finish(upload_id, Digest.of(DATA))
            with refused("UPLOAD_CONFLICT"):
                await uploads.cancel(upload_id)
            with refused("UPLOAD_CONFLICT"):
                async with uploads.follow(upload_id):
                    pass
            tomorrow = datetime.now(UTC) + timedelta(days=1)
            assert not await uploads.expire(upload_id, started_before=tomorrow, idle_since=tomorrow)
            assert await uploads.status(upload_id) == len(DATA)
    await uploads.finish(upload_id, Digest.of(DATA))


async def test_the_names_of_a_session_are_durable_after_its_first_commit(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    upload_id = await started(disk.store.uploads)
    monkeypatch.setattr(os, "fsync", note)
    await write_followed(disk, upload_id, DATA)
    folder = disk.session(upload_id)
    assert synced == [str(path) for path in (folder / "data", folder, folder.parent)]


async def test_a_commit_whose_sync_fails_ends_the_session_once_its_writer_has_gone(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    upload_id = await started(disk.store.uploads)
    with ExitStack() as stack:
        with monkeypatch.context() as patched, refused("UNAVAILABLE"):
            async with disk.store.uploads.follow(upload_id) as followed:
                os.write(stack.enter_context(writer(disk, upload_id)), DATA)
                patched.setattr(os, "fsync", fail)
                await followed.commit()
        # A second sync would succeed, and prove nothing. But the writer still has the file.
        assert disk.data(upload_id).exists()
    await wait_until_async(disk.data(upload_id).exists, "the session to end", wanted=lambda exists: not exists)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await disk.store.uploads.status(upload_id)
    # It is counted a moment after its file has gone.
    await wait_until_async(
        lambda: disk.counted("blobsvc_uploads_ended_total", how="failed"),
        "the end to be counted",
        wanted=lambda n: n == 1,
    )


async def test_a_file_that_cannot_be_read_beside_the_writer_is_read_by_the_finish(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    upload_id = await started(disk.store.uploads)
    monkeypatch.setattr(FollowedFile, "hash_up_to", fail)
    async with disk.store.uploads.follow(upload_id) as followed:
        with writer(disk, upload_id) as descriptor:
            followed.grown(os.write(descriptor, DATA))
            await asyncio.sleep(0)
            await followed.commit()
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert await read(disk.store.blobs, blob.key) == DATA


async def test_an_upload_that_nobody_remembers_is_offered_the_stream(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    upload = disk.store.uploads._progress[upload_id].upload
    kinds = [place.kind.name for place in await disk.store.uploads.placements(upload)]
    assert kinds == ["FILE", "STREAM"]
    other = await disk.another()
    assert [place.kind.name for place in await other.uploads.placements(upload)] == ["STREAM"]


async def test_the_disk_begins_to_write_before_the_end_either_way(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []

    def note(descriptor: int, position: int, size_bytes: int) -> None:
        begin_writeback(descriptor, position, size_bytes)
        begun.append((position, size_bytes))

    monkeypatch.setattr(follower_module, "begin_writeback", note)
    monkeypatch.setattr(session_module, "begin_writeback", note)
    upload_id = await started(disk.store.uploads)
    await write_followed(disk, upload_id, DATA)
    assert _covered(begun) == len(DATA)
    begun.clear()
    await append(disk.store.uploads, upload_id, *[DATA[:1_000_000]] * 9)
    # What is below a step is left to the sync.
    assert begun
    assert begun[0][0] == len(DATA)
    assert len(DATA) + 4_000_000 < _covered(begun) <= len(DATA) + 9_000_000


def _covered(begun: list[tuple[int, int]]) -> int:
    """The end of the ranges, which follow each other without gaps."""
    for (position, size), (following, _) in pairwise(begun):
        assert position + size == following
    return sum(begun[-1])
