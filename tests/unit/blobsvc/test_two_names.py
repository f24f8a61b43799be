"""A data file with a second name is not written: it may be a finished blob, of which a loss of power has left both.

A file system with a journal makes a rename whole or not at all. A repair of one without a journal can leave both names.
"""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from blobsvc.domain.model import StoredBlob, Upload, UploadId
from blobsvc.store.filesystem import FileStore, commit
from svckit.oci.digest import SHA256, Digest
from tests.contract.blobsvc.steps import OWNER, append, append_at_once, keys, read, refused
from tests.unit.blobsvc.disk import Disk

DATA = bytes(range(256)) * 100
DIGEST = Digest.of(DATA)
DAY = timedelta(days=1)


async def begun(disk: Disk) -> Upload:
    upload = await disk.store.uploads.start(OWNER, SHA256)
    await append_at_once(disk.store.uploads, upload.id, DATA)
    return upload


async def left_with_both_names(disk: Disk) -> tuple[UploadId, StoredBlob]:
    """A finished upload whose data file is there under its old name, too."""
    upload = await begun(disk)
    blob = await disk.store.uploads.finish(upload.id, DIGEST)
    os.link(disk.blob(blob.key), disk.data(upload.id))
    return upload.id, blob


async def sweep(store: FileStore, days: int) -> int:
    """A sweep that ends sessions of so many days, and forgets finishes of so many."""
    before = datetime.now(UTC) + DAY - days * DAY
    page = await store.admin.expire_uploads(started_before=before, idle_since=before, finished_before=before)
    return len(page.uploads)


async def follow(store: FileStore, upload_id: UploadId) -> None:
    async with store.uploads.follow(upload_id):
        pass


Use = Callable[[FileStore, UploadId], Awaitable[object]]
USES: dict[str, Use] = {
    "append": lambda store, upload_id: append(store.uploads, upload_id, b"more"),
    "append at once": lambda store, upload_id: append_at_once(store.uploads, upload_id, b"more"),
    "let the gateway write": follow,
    "finish with another digest": lambda store, upload_id: store.uploads.finish(upload_id, Digest.of(b"more")),
    "ask for the size": lambda store, upload_id: store.uploads.status(upload_id),
    "cancel": lambda store, upload_id: store.uploads.cancel(upload_id),
}


@pytest.mark.parametrize("use", USES)
async def test_a_finished_blob_is_not_touched_by_its_old_name(disk: Disk, use: str) -> None:
    upload_id, blob = await left_with_both_names(disk)
    for store in (disk.store, await disk.another()):
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await USES[use](store, upload_id)
        assert await store.blobs.stat(blob.key) == blob
        assert await read(store.blobs, blob.key) == DATA


@pytest.mark.parametrize("is_settled", [False, True])
async def test_a_repeated_finish_answers_from_its_record_and_removes_the_old_name(disk: Disk, is_settled: bool) -> None:
    upload = await begun(disk)
    blob = await disk.store.uploads.finish(upload.id, DIGEST)
    if is_settled:
        await disk.store.admin.settle([blob.key])
    os.link(disk.blob(blob.key), disk.data(upload.id))
    store = await disk.another()
    # The time, too: a receipt of a repeat expires with the first one.
    assert await store.uploads.finish(upload.id, DIGEST) == blob
    assert not disk.data(upload.id).exists()
    assert await store.uploads.finish(upload.id, DIGEST) == blob
    assert await read(store.blobs, blob.key) == DATA


async def test_the_upload_counts_as_finished_and_not_as_unfinished(disk: Disk) -> None:
    _, blob = await left_with_both_names(disk)
    assert await disk.store.admin.list_unfinished() == []
    assert [found.blob for found in (await disk.store.admin.list_unlinked()).blobs] == [blob]


async def test_once_it_is_settled_the_old_name_is_gone(disk: Disk) -> None:
    """Otherwise the session would be open again after its blob is deleted."""
    upload_id, blob = await left_with_both_names(disk)
    await disk.store.admin.settle([blob.key])
    await disk.store.admin.delete(blob.key)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await append(disk.store.uploads, upload_id, b"more")
    assert await disk.store.uploads.finish(upload_id, DIGEST) == blob
    assert await keys(disk.store.admin) == []


async def test_the_sweep_removes_the_old_name_and_later_the_record(disk: Disk) -> None:
    upload_id, blob = await left_with_both_names(disk)
    await disk.store.admin.settle([blob.key])
    os.link(disk.blob(blob.key), disk.data(upload_id))
    assert await sweep(disk.store, days=2) == 0
    assert disk.data(upload_id).exists()
    assert await sweep(disk.store, days=0) == 1
    assert not disk.data(upload_id).exists()
    assert await disk.store.uploads.finish(upload_id, DIGEST) == blob
    await sweep(disk.store, days=0)
    assert not disk.session(upload_id).exists()
    assert await read(disk.store.blobs, blob.key) == DATA


async def test_an_upload_whose_file_is_linked_elsewhere_is_not_taken_for_finished(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has copied the folder by links, just after a finish that died between its record and the rename."""
    upload = await begun(disk)

    def fail(*_: object) -> None:
        raise OSError(5, "the process dies here")

    with monkeypatch.context() as dying:
        dying.setattr(commit, "_rename", fail)
        with refused("UNAVAILABLE"):
            await disk.store.uploads.finish(upload.id, DIGEST)
    copied = disk.root / "copied"
    os.link(disk.data(upload.id), copied)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await disk.store.uploads.finish(upload.id, DIGEST)
    assert (await disk.store.admin.list_unlinked()).blobs == ()
    copied.unlink()
    blob = await disk.store.uploads.finish(upload.id, DIGEST)
    assert await read(disk.store.blobs, blob.key) == DATA
