"""The file-system store on disks that fail: full, fallen away, unreadable, or with other things on them."""

import errno
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from blobsvc.domain.damage import DamagedBlobError
from blobsvc.domain.model import BlobKey
from blobsvc.store.filesystem import FileStore
from svckit.oci.digest import SHA256, SHA512, Digest
from tests.contract.blobsvc.steps import Append, append, append_at_once, both_ways, keys, push, read, refused, started
from tests.unit.blobsvc.disk import Disk

DATA = bytes(range(256)) * 20_000


class FullDisk:
    """Takes some bytes more, and then none until there is room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@both_ways
async def test_a_full_disk_is_said_and_the_session_goes_on_once_there_is_room(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, write: Append
) -> None:
    upload_id = await started(disk.store.uploads)
    full = FullDisk(monkeypatch, room=1500)
    with refused("STORAGE_FULL"):
        await write(disk.store.uploads, upload_id, DATA[:1000], DATA[1000:])
    assert await disk.store.uploads.status(upload_id) == 1500
    full.room = 10**9
    assert await append(disk.store.uploads, upload_id, DATA[1500:], offset=1500) == len(DATA)
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert await read(disk.store.blobs, blob.key) == DATA
    # What was hashed before it was full still counts.
    assert disk.counted("blobsvc_rehashed_bytes_total") == 0


async def test_a_disk_too_full_for_a_session_is_said_and_leaves_no_session(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", _no_space)
    with refused("STORAGE_FULL"):
        await started(disk.store.uploads)
    assert disk.files() == ["store-id"]


async def test_a_store_whose_folder_fell_away_denies_no_blob_and_no_upload(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA)
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    open_upload = await started(disk.store.uploads)
    await append(disk.store.uploads, open_upload, DATA)
    away = disk.root.rename(disk.root.with_name("away"))

    with refused("UNAVAILABLE"):
        await disk.store.uploads.status(open_upload)
    for write in (append, append_at_once):
        with refused("UNAVAILABLE"):
            await write(disk.store.uploads, open_upload, DATA)
    with refused("UNAVAILABLE"):
        await disk.store.uploads.finish(open_upload, Digest.of(DATA))
    with refused("UNAVAILABLE"):
        await disk.store.uploads.cancel(open_upload)
    with refused("UNAVAILABLE"):
        await disk.store.blobs.stat(blob.key)
    with refused("UNAVAILABLE"):
        await read(disk.store.blobs, blob.key)
    with refused("UNAVAILABLE"):
        await disk.store.admin.delete(blob.key)
    with refused("UNAVAILABLE"):
        await disk.store.admin.list()
    with refused("UNAVAILABLE"):
        await disk.store.blobs.sizes([blob.key])
    with pytest.raises(FileNotFoundError):
        disk.store.examine()

    away.rename(disk.root)
    assert await read(disk.store.blobs, blob.key) == DATA
    assert await disk.store.uploads.status(open_upload) == len(DATA)
    disk.store.examine()
    assert not list((disk.root / "uploads").glob(".examined-*"))


async def test_a_folder_that_holds_another_store_denies_no_blob_of_ours(disk: Disk) -> None:
    blob = await push(disk.store.uploads, DATA)
    disk.blob(blob.key).unlink()
    with refused("BLOB_UNKNOWN"):
        await disk.store.blobs.stat(blob.key)

    (disk.root / "store-id").write_text("another\n")

    with pytest.raises(OSError, match="another store"):
        disk.store.examine()
    with refused("UNAVAILABLE"):
        await disk.store.blobs.stat(blob.key)
    with refused("UNAVAILABLE"):
        await read(disk.store.blobs, blob.key)
    with refused("UNAVAILABLE"):
        await disk.store.admin.delete(blob.key)


async def test_a_repeated_delete_syncs_the_folder_that_the_first_may_not_have_synced(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, other = await push(disk.store.uploads, DATA), await push(disk.store.uploads, DATA)
    disk.blob(blob.key).unlink()
    synced = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    await disk.store.admin.delete(blob.key)

    assert synced == [disk.blob(other.key).parent.stat().st_ino]


def test_a_folder_that_takes_no_files_is_noticed_between_two_writes(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.store.examine()
    # As on a file system that has become read-only: root may do everything else.
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(OSError, match="no file can be created"):
        disk.store.examine()


def test_a_full_disk_does_not_look_like_a_store_that_is_away(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def full(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            _no_space()
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", full)

    disk.store.examine()


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _failing_sync(descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("step", ["commit", "append", "status", "finish"])
async def test_bytes_that_the_disk_did_not_take_end_the_session(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _failing_sync)
        with refused("UNAVAILABLE"):
            match step:
                case "commit":
                    await append(disk.store.uploads, upload_id, b"more")
                case "append":
                    await disk.store.uploads.append(upload_id, b"more")
                case "status":
                    await disk.store.uploads.status(upload_id)
                case _:
                    # Bytes that nobody has synced: their writer was killed.
                    with disk.data(upload_id).open("ab") as file:
                        file.write(b"more")
                    await disk.store.uploads.finish(upload_id, Digest.of(DATA + b"more"))
    # A second fsync would succeed, and prove nothing.
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await disk.store.uploads.status(upload_id)
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert await keys(disk.store.admin) == []
    assert disk.counted("blobsvc_uploads_ended_total", how="failed") == 1


@both_ways
async def test_bytes_are_on_the_disk_before_a_write_is_answered(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, write: Append
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(disk.root)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    upload_id = await started(disk.store.uploads)
    await write(disk.store.uploads, upload_id, DATA)
    folder = f"uploads/{upload_id}"
    assert synced == [f"{folder}/data", folder, "uploads"]

    synced.clear()
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    digits = blob.digest.hex
    home = f"blobs/sha256/{digits[:2]}"
    assert synced == ["unlinked", home, "blobs/sha256", f"{home}/{digits}"]


async def test_a_folder_whose_sync_fails_leaves_the_session_and_the_finish_can_be_repeated(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _failing_sync)
        with refused("UNAVAILABLE"):
            await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert (await disk.store.admin.list_unlinked()).blobs == ()
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert [found.blob for found in (await disk.store.admin.list_unlinked()).blobs] == [blob]


async def test_the_time_of_a_finish_is_synced_if_the_last_write_is_long_ago(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    for age_seconds, wanted in ((50, False), (70, True)):
        upload_id = await started(disk.store.uploads)
        await append(disk.store.uploads, upload_id, DATA)
        data = disk.data(upload_id)
        os.utime(data, (time.time() - age_seconds,) * 2)
        inode = data.stat().st_ino
        synced.clear()
        blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
        assert (inode in synced) == wanted
        assert abs(time.time() - blob.create_time.timestamp()) < 30
        assert disk.blob(blob.key).stat().st_mtime == pytest.approx(blob.create_time.timestamp(), abs=0.001)


def _of_one_prefix(count: int) -> list[bytes]:
    """Contents whose digests begin with the same two digits."""
    contents = (str(number).encode() for number in range(1_000_000))
    return list(islice((content for content in contents if Digest.of(content).hex.startswith("00")), count))


@pytest.fixture
def synced_algorithms(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inode of `blobs/sha256`, as often as it is synced."""
    inode = (disk.root / "blobs" / "sha256").stat().st_ino
    found: list[int] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == inode:
            found.append(inode)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    return found


async def test_the_name_of_a_prefix_is_synced_once_by_each_process(disk: Disk, synced_algorithms: list[int]) -> None:
    first, second, third = _of_one_prefix(3)
    await push(disk.store.uploads, first)
    await push(disk.store.uploads, second)
    assert len(synced_algorithms) == 1
    # The process before may have died between the folder and the sync.
    await push((await disk.another()).uploads, third)
    assert len(synced_algorithms) == 2


async def test_the_name_of_a_prefix_is_synced_again_if_another_folder_has_it(
    disk: Disk, synced_algorithms: list[int]
) -> None:
    first, second = _of_one_prefix(2)
    await push(disk.store.uploads, first)
    prefix = disk.root / "blobs" / "sha256" / "00"
    prefix.rename(prefix.with_name("was-00"))
    await push(disk.store.uploads, second)
    assert len(synced_algorithms) == 2


async def test_the_name_of_a_prefix_is_synced_again_after_a_failure(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, synced_algorithms: list[int]
) -> None:
    first, second = _of_one_prefix(2)
    sync = os.fsync

    def fail_once(descriptor: int) -> None:
        sync(descriptor)
        if len(synced_algorithms) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail_once)
        with refused("UNAVAILABLE"):
            await push(disk.store.uploads, first)
    await push(disk.store.uploads, second)
    assert len(synced_algorithms) == 2


async def test_an_unreadable_folder_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        await FileStore.open(tmp_path / "file" / "store", CollectorRegistry())


SEVERAL_CHUNKS = bytes(range(256)) * 16_384


async def collected(disk: Disk, key: BlobKey, offset: int = 0, limit: int = 0) -> tuple[bytes, str]:
    """The bytes of a read, and the damage with which it ended; empty if it ended well."""
    data = b""
    try:
        async with disk.store.blobs.open(key, offset, limit) as opened:
            async for chunk in opened.chunks:
                data += chunk
    except DamagedBlobError as error:
        return data, error.damage
    return data, ""


@pytest.mark.parametrize("content", [b"short", SEVERAL_CHUNKS], ids=["one chunk", "several chunks"])
@pytest.mark.parametrize("algorithm", [SHA256, SHA512])
async def test_a_read_of_the_whole_blob_never_gives_all_bytes_if_one_is_wrong(
    disk: Disk, content: bytes, algorithm: str
) -> None:
    blob = await push(disk.store.uploads, content, algorithm)
    for position in (0, len(content) // 2, len(content) - 1):
        wrong = bytearray(content)
        wrong[position] ^= 1
        disk.blob(blob.key).write_bytes(wrong)
        for limit in (0, len(content), len(content) + 1):
            data, damage = await collected(disk, blob.key, limit=limit)
            assert damage == "digest"
            assert len(data) < len(content)

    disk.blob(blob.key).write_bytes(content)
    assert await collected(disk, blob.key) == (content, "")


async def test_a_read_of_a_part_is_not_verified(disk: Disk) -> None:
    blob = await push(disk.store.uploads, b"0123456789")
    disk.blob(blob.key).write_bytes(b"012345678X")
    assert await collected(disk, blob.key, 0, 9) == (b"012345678", "")
    assert await collected(disk, blob.key, 1, 0) == (b"12345678X", "")


@pytest.mark.parametrize("put", [lambda path: path.mkdir(), lambda path: path.symlink_to("/etc/hostname")])
async def test_something_else_than_a_file_in_the_place_of_a_blob_is_no_blob(
    disk: Disk, put: Callable[[Path], None]
) -> None:
    blob = await push(disk.store.uploads, b"here")
    disk.blob(blob.key).unlink()
    put(disk.blob(blob.key))
    with refused("BLOB_UNKNOWN"):
        await disk.store.blobs.stat(blob.key)
    with refused("BLOB_UNKNOWN"):
        await read(disk.store.blobs, blob.key)
    assert await disk.store.blobs.sizes([blob.key]) == [None]


async def test_a_disk_that_cannot_be_read_says_nothing_about_a_blob(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await push(disk.store.uploads, b"here")
    monkeypatch.setattr(os, "pread", _failing_read)
    with refused("UNAVAILABLE"):
        await read(disk.store.blobs, blob.key)
    monkeypatch.setattr(Path, "lstat", _failing_read)
    with refused("UNAVAILABLE"):
        await disk.store.blobs.sizes([blob.key])


def _failing_read(*_: object) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
