"""What was answered survives a loss of power, and a finish that it cuts off can be repeated."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from blobsvc.domain.model import BlobKey, UploadId, UploadOwner
from blobsvc.store.filesystem import FileStore, links
from svckit.oci.digest import SHA256, Digest
from tests.contract.blobsvc.steps import OWNER, Append, append, append_at_once, both_ways, keys, read, refused
from tests.unit.blobsvc.disk import Disk
from tests.unit.blobsvc.power import Power

DATA = bytes(range(256)) * 100
DIGEST = Digest.of(DATA)
LONG_NAME = UploadOwner("library/" + "/".join(["a" * 120] * 10), 1, "user:7")
owners = pytest.mark.parametrize("owner", [OWNER, LONG_NAME], ids=["records in links", "records in files"])


@pytest.fixture
def power(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Power]:
    power = Power(disk.root, monkeypatch)
    yield power
    power.close()


@pytest.fixture
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("left")
    return (root / str(number) for number in count())


@asynccontextmanager
async def after(folder: Path) -> AsyncIterator[FileStore]:
    """The store that starts in a folder."""
    store = await FileStore.open(folder, CollectorRegistry())
    try:
        yield store
    finally:
        store.close()


async def check_finished(store: FileStore, upload_id: UploadId, owner: UploadOwner) -> None:
    """Fails unless an upload can be finished, to one blob with one record."""
    blob = await store.uploads.finish(upload_id, DIGEST, len(DATA))
    assert await store.uploads.finish(upload_id, DIGEST, len(DATA)) == blob
    assert await read(store.blobs, blob.key) == DATA
    assert await keys(store.admin) == [blob.key]
    assert [(found.blob, found.owner) for found in (await store.admin.list_unlinked()).blobs] == [(blob, owner)]
    assert await store.admin.list_unfinished() == []


@owners
@both_ways
async def test_bytes_that_were_answered_are_there_and_the_rest_follows(
    disk: Disk, power: Power, folders: Iterator[Path], write: Append, owner: UploadOwner
) -> None:
    upload = await disk.store.uploads.start(owner, SHA256)
    for begin in (0, 1000):
        end = begin + 1000
        assert await write(disk.store.uploads, upload.id, DATA[begin:end]) == end
        async with after(power.leave(next(folders))) as store:
            assert await store.uploads.status(upload.id) == end
            assert [found.owner for found in await store.admin.list_unfinished()] == [owner]
            await append(store.uploads, upload.id, DATA[end:], offset=end)
            await check_finished(store, upload.id, owner)


@owners
@pytest.mark.parametrize("adopted", [False, True])
async def test_a_finish_that_was_answered_is_there(
    disk: Disk, power: Power, folders: Iterator[Path], owner: UploadOwner, adopted: bool
) -> None:
    upload = await disk.store.uploads.start(owner, SHA256)
    uploads = disk.store.uploads
    if adopted:
        # Bytes that nobody has synced: their writer was killed. Another process goes on.
        disk.data(upload.id).write_bytes(DATA)
        uploads = (await disk.another()).uploads
    else:
        await append_at_once(uploads, upload.id, DATA)
    blob = await uploads.finish(upload.id, DIGEST)
    async with after(power.leave(next(folders))) as store:
        assert await store.uploads.finish(upload.id, DIGEST) == blob
        await check_finished(store, upload.id, owner)


@owners
async def test_a_finish_is_repeated_to_the_same_end_wherever_power_was_lost(
    disk: Disk, power: Power, folders: Iterator[Path], owner: UploadOwner
) -> None:
    upload = await disk.store.uploads.start(owner, SHA256)
    await append_at_once(disk.store.uploads, upload.id, DATA)
    left: list[Path] = []

    def leave() -> None:
        worst, best = (), (disk.root,)
        for ahead in (worst, (disk.root / "blobs",), (disk.root / "unlinked",), best):
            left.append(power.leave(next(folders), *ahead))  # noqa: PERF401 - a list of effects would hide them

    power.before_sync = leave
    await disk.store.uploads.finish(upload.id, DIGEST)
    leave()
    assert len(left) >= 4 * 4
    for folder in left:
        async with after(folder) as store:
            await check_finished(store, upload.id, owner)


async def test_a_blob_moves_into_the_folder_that_is_durable_and_into_no_other(
    disk: Disk, power: Power, folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before the rename, the digest's last blob is deleted, and another finish makes the folder again."""
    upload = await disk.store.uploads.start(OWNER, SHA256)
    await append_at_once(disk.store.uploads, upload.id, DATA)
    home = disk.blob(BlobKey(DIGEST, upload.generation)).parent
    rename = os.rename

    def replace_home_first(source: Path, target: Path | str, **where: int) -> None:
        monkeypatch.setattr(os, "rename", rename)
        home.rmdir()
        home.mkdir()
        rename(source, target, **where)

    monkeypatch.setattr(os, "rename", replace_home_first)
    await disk.store.uploads.finish(upload.id, DIGEST)
    async with after(power.leave(next(folders))) as store:
        await check_finished(store, upload.id, OWNER)


async def test_a_record_that_is_lost_hides_no_other(disk: Disk) -> None:
    """As after a loss of power on a file system that leaves links empty."""
    lost, kept = [await disk.store.uploads.start(OWNER, SHA256) for _ in range(2)]
    blobs = []
    for upload in (lost, kept):
        await append_at_once(disk.store.uploads, upload.id, DATA)
        blobs.append(await disk.store.uploads.finish(upload.id, DIGEST))
    record = min((disk.root / "unlinked").iterdir())
    record.unlink()
    record.write_bytes(b"")
    store = await disk.another()
    assert [found.blob for found in (await store.admin.list_unlinked()).blobs] == blobs[1:]
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await store.uploads.finish(lost.id, DIGEST)
    await store.admin.settle([blob.key for blob in blobs])
    assert await store.uploads.finish(kept.id, DIGEST) == blobs[1]


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no symbolic links."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)


@pytest.mark.usefixtures("without_links")
async def test_records_are_files_where_links_cannot_be_made(disk: Disk, power: Power, folders: Iterator[Path]) -> None:
    upload = await disk.store.uploads.start(OWNER, SHA256)
    await append_at_once(disk.store.uploads, upload.id, DATA)
    await disk.store.uploads.finish(upload.id, DIGEST)
    records = [disk.session(upload.id) / "upload.json", *(disk.root / "unlinked").iterdir()]
    assert [record.is_symlink() for record in records] == [False, False]
    async with after(power.leave(next(folders))) as store:
        await check_finished(store, upload.id, OWNER)


@pytest.mark.usefixtures("without_links")
async def test_what_older_versions_have_written_is_read(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They kept all records in files, as a file system without links does now."""
    finished, settled, open_upload = [await disk.store.uploads.start(OWNER, SHA256) for _ in range(3)]
    for upload in (finished, settled, open_upload):
        await append_at_once(disk.store.uploads, upload.id, DATA)
    first = await disk.store.uploads.finish(finished.id, DIGEST)
    second = await disk.store.uploads.finish(settled.id, DIGEST)
    await disk.store.admin.settle([second.key])
    monkeypatch.undo()
    other = await disk.another()
    assert await other.uploads.finish(finished.id, DIGEST) == first
    assert await other.uploads.finish(settled.id, DIGEST) == second
    assert (await other.uploads.finish(open_upload.id, DIGEST)).key.generation == open_upload.generation
    assert len((await other.admin.list_unlinked()).blobs) == 2


def test_a_text_comes_back_as_it_was(tmp_path: Path) -> None:
    for number, text in enumerate(['{"a": "b//c/./d"}', "x" * 1000, "/", "ä"]):
        path = tmp_path / str(number)
        assert links.link_text(path, text)
        assert links.kept_text(path) == text
    assert not links.link_text(tmp_path / "long", "x" * 1001)
    assert not (tmp_path / "long").exists()
