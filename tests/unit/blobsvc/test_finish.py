"""A finish of an upload in a file system: its lock, what is left when it is cut off, and what is counted."""

import asyncio
import fcntl
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from blobsvc.domain.model import UploadId
from blobsvc.store.filesystem import commit
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.session import HeldSession
from svckit.oci.digest import Digest
from tests.contract.blobsvc.steps import append, keys, read, refused, started
from tests.unit.blobsvc.disk import Disk

DATA = bytes(range(256)) * 100
DIGEST = Digest.of(DATA)
STEPS = 4


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that nobody has hashed is hashed in four steps."""
    monkeypatch.setattr(commit, "_HASH_STEP_BYTES", len(DATA) // STEPS)


@pytest.fixture
async def upload_id(disk: Disk) -> UploadId:
    """An upload that the store has not hashed: another process has written it."""
    uploads = (await disk.another()).uploads
    upload_id = await started(uploads)
    await append(uploads, upload_id, DATA)
    return upload_id


def taken(disk: Disk, upload_id: UploadId) -> HeldSession:
    return HeldSession.take(disk.session(upload_id), None, StoreMetrics(CollectorRegistry()))


def finish(disk: Disk, session: HeldSession) -> None:
    while commit.finish_held(Layout(disk.root), session, DIGEST, None) is None:
        pass


async def test_nobody_gets_the_lock_between_the_hash_and_the_rename(
    disk: Disk, upload_id: UploadId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who is cancelled releases the session, while a thread still finishes it."""
    session = taken(disk, upload_id)
    releasing = threading.Thread(target=session.release)
    hash_more = session.hash_more

    def hash_while_the_caller_goes(algorithm: str, limit_bytes: int) -> Digest | None:
        found = hash_more(algorithm, limit_bytes)
        if found is not None:
            releasing.start()
            releasing.join(0.2)
            with refused("UPLOAD_CONFLICT"):
                taken(disk, upload_id)
        return found

    monkeypatch.setattr(session, "hash_more", hash_while_the_caller_goes)
    finish(disk, session)
    releasing.join()
    assert session.is_released
    assert [await read(disk.store.blobs, key) for key in await keys(disk.store.admin)] == [DATA]


async def test_a_session_that_was_released_is_not_finished(disk: Disk, upload_id: UploadId) -> None:
    session = taken(disk, upload_id)
    session.release()
    with refused("UPLOAD_CONFLICT"):
        finish(disk, session)
    assert await keys(disk.store.admin) == []
    assert await disk.store.uploads.status(upload_id) == len(DATA)


async def test_a_finish_that_was_cut_off_goes_on_where_it_has_stopped(
    disk: Disk, upload_id: UploadId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an upload that takes longer to hash than its caller waits would never be finished."""
    hash_more, steps = HeldSession.hash_more, iter(range(STEPS - 1))

    def hash_less(session: HeldSession, algorithm: str, limit_bytes: int) -> Digest | None:
        if next(steps, None) is None:
            finishing.get_loop().call_soon_threadsafe(finishing.cancel)
            limit_bytes = 0
        return hash_more(session, algorithm, limit_bytes)

    with monkeypatch.context() as patched:
        patched.setattr(HeldSession, "hash_more", hash_less)
        finishing = asyncio.create_task(disk.store.uploads.finish(upload_id, DIGEST))
        with pytest.raises(asyncio.CancelledError):
            await finishing
    await disk.store.uploads.finish(upload_id, DIGEST)
    assert disk.counted("blobsvc_rehashed_bytes_total") == len(DATA)


async def test_the_wait_for_the_lock_is_not_counted(
    disk: Disk, upload_id: UploadId, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, refused_thrice, refusals = fcntl.flock, asyncio.Event(), iter(range(2))
    loop = asyncio.get_running_loop()

    def noting(descriptor: int, operation: int) -> None:
        try:
            lock(descriptor, operation)
        except BlockingIOError:
            if next(refusals, None) is None:
                loop.call_soon_threadsafe(refused_thrice.set)
            raise

    monkeypatch.setattr(fcntl, "flock", noting)
    began = time.perf_counter()
    async with (await disk.another()).uploads.open(upload_id):
        finishing = asyncio.create_task(disk.store.uploads.finish(upload_id, DIGEST))
        await refused_thrice.wait()
        assert disk.counted("blobsvc_uploads_held") == 0
        waited_seconds = time.perf_counter() - began
    await finishing
    assert disk.counted("blobsvc_uploads_held") == 0
    assert disk.counted("blobsvc_finish_seconds_count") == 1
    assert 0 < disk.counted("blobsvc_finish_seconds_sum") <= time.perf_counter() - began - waited_seconds


async def test_an_upload_counts_as_held_while_it_is_locked(disk: Disk, upload_id: UploadId) -> None:
    async with disk.store.uploads.open(upload_id):
        assert disk.counted("blobsvc_uploads_held") == 1
        with refused("UPLOAD_CONFLICT"):
            await append(disk.store.uploads, upload_id, b"more")
        assert disk.counted("blobsvc_uploads_held") == 1
    assert disk.counted("blobsvc_uploads_held") == 0
