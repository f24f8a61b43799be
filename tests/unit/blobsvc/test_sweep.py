from datetime import UTC, datetime, timedelta

from blobsvc.domain.upload import UploadLifetimes, expire_uploads
from blobsvc.store.memory import MemoryStore
from svckit.oci.digest import Digest
from tests.contract.blobsvc.steps import append, refused, started

LIFETIMES = UploadLifetimes(total_seconds=1000, idle_seconds=100, receipt_seconds=50)


async def sweep_after(store: MemoryStore, seconds: float) -> int:
    return await expire_uploads(store.admin, LIFETIMES, datetime.now(UTC) + timedelta(seconds=seconds))


async def test_a_session_lives_as_long_as_it_may_rest() -> None:
    store = MemoryStore()
    upload_id = await started(store.uploads)
    assert await sweep_after(store, 99) == 0
    assert await sweep_after(store, 101) == 1
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(upload_id)


async def test_a_finish_can_be_repeated_as_long_as_its_receipt_lives() -> None:
    store = MemoryStore()
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, b"x")
    blob = await store.uploads.finish(upload_id, Digest.of(b"x"))
    await sweep_after(store, 49)
    assert await store.uploads.finish(upload_id, Digest.of(b"x")) == blob
    await sweep_after(store, 51)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, Digest.of(b"x"))
