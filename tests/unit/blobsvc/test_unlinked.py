"""The bytes of unfinished and unlinked uploads are counted and bounded."""

import pytest

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey, UploadId, UploadOwner
from blobsvc.domain.unlinked import UnlinkedBytes, UnlinkedLimits, settle
from blobsvc.store.memory import MemoryBlobAdmin, MemoryStore
from svckit.errors import DomainError
from svckit.oci.digest import SHA256, Digest
from tests.contract.blobsvc.steps import append

ALICE = UploadOwner("library/app", 1, "user:7")
ALICE_ELSEWHERE = UploadOwner("team/app", 2, "user:7")
BOB = UploadOwner("library/app", 1, "user:8")


class Refusals:
    """See `blobsvc.domain.unlinked.RefusalRecorder`."""

    def __init__(self) -> None:
        self.bounds: list[str] = []

    def refused(self, owner: UploadOwner, bound: str) -> None:
        self.bounds.append(bound)


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture
def unlinked(refusals: Refusals) -> UnlinkedBytes:
    return UnlinkedBytes(UnlinkedLimits(project_bytes=100, subject_bytes=60, subject_open=3), refusals)


def room(unlinked: UnlinkedBytes, owner: UploadOwner) -> int:
    """How many bytes the owner may upload more."""
    return next(size for size in range(1000) if not fits(unlinked, owner, size + 1))


def fits(unlinked: UnlinkedBytes, owner: UploadOwner, size_bytes: int) -> bool:
    try:
        unlinked.require_room(owner, size_bytes)
    except DomainError as error:
        return error.reason != "UPLOADS_EXCEEDED"
    return True


def test_uploads_are_bounded_by_project_and_by_subject(unlinked: UnlinkedBytes, refusals: Refusals) -> None:
    assert (room(unlinked, ALICE), room(unlinked, BOB)) == (60, 60)
    unlinked.grow(UploadId.new(), ALICE, 50)
    assert (room(unlinked, ALICE), room(unlinked, ALICE_ELSEWHERE), room(unlinked, BOB)) == (10, 10, 50)
    unlinked.grow(UploadId.new(), BOB, 50)
    refusals.bounds.clear()
    assert (room(unlinked, ALICE), room(unlinked, ALICE_ELSEWHERE)) == (0, 10)
    assert refusals.bounds == ["project", "subject"]
    assert unlinked.total_bytes == 100


def test_bytes_that_are_refused_are_not_counted(unlinked: UnlinkedBytes) -> None:
    upload_id = UploadId.new()
    unlinked.grow(upload_id, ALICE, 50)
    with pytest.raises(DomainError) as refused:
        unlinked.grow(upload_id, ALICE, 11)
    assert dict(refused.value.metadata) == {"bound": "subject", "used_bytes": "50", "limit_bytes": "60"}
    unlinked.grow(upload_id, ALICE, 10)
    assert unlinked.total_bytes == 60


def test_reserved_room_is_nobody_elses_and_is_given_back(unlinked: UnlinkedBytes) -> None:
    with unlinked.reserved(ALICE, 50):
        assert (room(unlinked, ALICE), room(unlinked, ALICE_ELSEWHERE), room(unlinked, BOB)) == (10, 10, 50)
        with pytest.raises(DomainError), unlinked.reserved(ALICE, 11):
            pytest.fail("there is no room")
        # The bytes may be counted before the room for them is given back.
        unlinked.put(UploadId.new(), ALICE, 50)
        assert unlinked.total_bytes == 100
    assert (room(unlinked, ALICE), unlinked.total_bytes) == (10, 50)
    with pytest.raises(OSError, match="full"), unlinked.reserved(ALICE, 10):
        raise OSError("full")
    assert (room(unlinked, ALICE), unlinked.total_bytes) == (10, 50)


async def test_a_finished_upload_counts_until_it_is_settled(unlinked: UnlinkedBytes) -> None:
    upload_id, key = UploadId.new(), BlobKey(Digest.of(b"x"), Generation(1))
    unlinked.grow(upload_id, ALICE, 50)
    unlinked.finish(upload_id, key)
    assert room(unlinked, ALICE) == 10
    await settle(MemoryStore().admin, unlinked, [key])
    assert (room(unlinked, ALICE), unlinked.total_bytes) == (60, 0)
    # A repeated finish answers from its record.
    unlinked.finish(upload_id, key)
    assert unlinked.total_bytes == 0


def test_an_upload_that_ended_leaves_its_room(unlinked: UnlinkedBytes) -> None:
    upload_id = UploadId.new()
    unlinked.grow(upload_id, ALICE, 50)
    unlinked.remove(upload_id)
    unlinked.remove(upload_id)
    assert (room(unlinked, ALICE), unlinked.total_bytes) == (60, 0)


async def test_a_recount_finds_what_others_did_on_the_same_store(unlinked: UnlinkedBytes) -> None:
    store = MemoryStore()
    unfinished, finished, settled = [(await store.uploads.start(ALICE, SHA256)).id for _ in range(3)]
    await append(store.uploads, unfinished, b"1")
    await append(store.uploads, finished, b"22")
    await append(store.uploads, settled, b"333")
    await store.uploads.finish(finished, Digest.of(b"22"))
    await store.admin.settle([(await store.uploads.finish(settled, Digest.of(b"333"))).key])
    # One that has expired.
    unlinked.grow(UploadId.new(), ALICE, 40)
    await unlinked.recount(store.admin)
    assert (room(unlinked, ALICE), unlinked.total_bytes) == (57, 3)
    await unlinked.recount(store.admin)
    assert unlinked.total_bytes == 3
    await store.uploads.cancel(unfinished)
    await unlinked.recount(store.admin)
    assert unlinked.total_bytes == 2


async def test_what_changes_during_a_recount_is_counted_as_it_is_now(
    unlinked: UnlinkedBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    growing, ending = [(await store.uploads.start(ALICE, SHA256)).id for _ in range(2)]
    for upload_id in (growing, ending):
        await append(store.uploads, upload_id, b"1")
        unlinked.grow(upload_id, ALICE, 1)
    new = UploadId.new()
    list_unlinked = MemoryBlobAdmin.list_unlinked

    async def meanwhile(self: MemoryBlobAdmin, **query: object) -> object:
        # The sessions have been read.
        unlinked.grow(growing, ALICE, 10)
        unlinked.remove(ending)
        unlinked.grow(new, ALICE, 20)
        return await list_unlinked(self)

    monkeypatch.setattr(MemoryBlobAdmin, "list_unlinked", meanwhile)
    await unlinked.recount(store.admin)
    assert unlinked.total_bytes == 11 + 20


async def test_open_uploads_are_bounded_by_subject_also_without_bytes(
    unlinked: UnlinkedBytes, refusals: Refusals
) -> None:
    uploads = [UploadId.new() for _ in range(3)]
    for upload_id in uploads:
        unlinked.require_start(ALICE, 0)
        unlinked.put(upload_id, ALICE, 0)
    for owner in (ALICE, ALICE_ELSEWHERE):
        with pytest.raises(DomainError) as refused:
            unlinked.require_start(owner, 0)
        assert dict(refused.value.metadata) == {"bound": "open", "limit": "3"}
    assert refusals.bounds == ["open", "open"]
    unlinked.require_start(BOB, 0)
    # A write, a finish and a removal.
    unlinked.grow(uploads[0], ALICE, 5)
    with pytest.raises(DomainError):
        unlinked.require_start(ALICE, 0)
    unlinked.finish(uploads[0], BlobKey(Digest.of(b"x"), Generation(1)))
    unlinked.require_start(ALICE, 0)
    unlinked.put(UploadId.new(), ALICE, 0)
    unlinked.remove(uploads[1])
    unlinked.require_start(ALICE, 0)
    # The store is empty.
    await unlinked.recount(MemoryStore().admin)
    assert unlinked.total_bytes == 0
    for _ in range(3):
        unlinked.require_start(ALICE, 0)
        unlinked.put(UploadId.new(), ALICE, 0)


def test_a_start_needs_room_for_its_size_and_for_one_byte_at_least(unlinked: UnlinkedBytes) -> None:
    unlinked.require_start(ALICE, 60)
    with pytest.raises(DomainError):
        unlinked.require_start(ALICE, 61)
    unlinked.grow(UploadId.new(), ALICE, 60)
    with pytest.raises(DomainError):
        unlinked.require_start(ALICE, 0)
