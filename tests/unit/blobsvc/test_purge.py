"""The purge ends what has expired by the settings, and counts its bytes no more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

from blobsvc.domain.unlinked import UnlinkedBytes, UnlinkedLimits
from blobsvc.domain.upload import UploadLifetimes, UploadPorts, purge_uploads
from blobsvc.store.memory import MemoryStore
from svckit.oci.digest import Digest
from svckit.tokens.signer import TokenSigner
from tests.contract.blobsvc.steps import OWNER, append, refused, started

LIFETIMES = UploadLifetimes(total_seconds=1000, idle_seconds=100, receipt_seconds=50)


class Nobody:
    """Nobody is refused."""

    def refused(self, owner: object, bound: str) -> None:
        raise AssertionError(bound)


def ports_of(store: MemoryStore) -> UploadPorts:
    limits = UnlinkedLimits(project_bytes=1000, subject_bytes=1000, subject_open=10)
    # A purge signs nothing.
    return UploadPorts(store.uploads, cast("TokenSigner", None), LIFETIMES, UnlinkedBytes(limits, Nobody()))


async def purge_after(store: MemoryStore, seconds: float, ports: UploadPorts | None = None) -> int:
    now = datetime.now(UTC) + timedelta(seconds=seconds)
    page = await purge_uploads(ports or ports_of(store), store.admin, after=None, limit=10, dry_run=False, now=now)
    return len(page.uploads)


async def test_a_session_lives_as_long_as_it_may_rest() -> None:
    store = MemoryStore()
    upload_id = await started(store.uploads)
    assert await purge_after(store, 99) == 0
    assert await purge_after(store, 101) == 1
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.status(upload_id)


async def test_a_session_lives_no_longer_than_its_ticket_even_if_it_is_written() -> None:
    store = MemoryStore()
    await started(store.uploads)
    ports = replace(ports_of(store), lifetimes=replace(LIFETIMES, idle_seconds=10_000))
    assert await purge_after(store, 999, ports) == 0
    assert await purge_after(store, 1001, ports) == 1


async def test_a_finish_can_be_repeated_as_long_as_its_receipt_lives() -> None:
    store = MemoryStore()
    upload_id = await started(store.uploads)
    await append(store.uploads, upload_id, b"x")
    blob = await store.uploads.finish(upload_id, Digest.of(b"x"))
    await purge_after(store, 49)
    assert await store.uploads.finish(upload_id, Digest.of(b"x")) == blob
    await purge_after(store, 51)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(upload_id, Digest.of(b"x"))


async def test_the_bytes_of_a_purged_session_count_no_more_at_once() -> None:
    store = MemoryStore()
    ports = ports_of(store)
    upload_id = await started(store.uploads)
    ports.unlinked.put(upload_id, OWNER, 700)
    now = datetime.now(UTC) + timedelta(seconds=101)
    await purge_uploads(ports, store.admin, after=None, limit=10, dry_run=True, now=now)
    assert ports.unlinked.total_bytes == 700
    await purge_uploads(ports, store.admin, after=None, limit=10, dry_run=False, now=now)
    assert ports.unlinked.total_bytes == 0
