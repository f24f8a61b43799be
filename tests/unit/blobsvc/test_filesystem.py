"""The file-system store beyond its ports: what lies on disk, restarts and replicas."""

import asyncio
import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from blobsvc.domain.model import UploadId
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.links import kept_text
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.uploads import FileUploads
from svckit.oci.digest import SHA256, SHA512, Digest
from svckit.threads import BlockingPool
from tests.contract.blobsvc.steps import append, keys, push, read, refused, started, until_free
from tests.unit.blobsvc.disk import Disk

DATA = bytes(range(256)) * 20_000
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def test_everything_lies_where_the_design_says(disk: Disk) -> None:
    blob = await push(disk.store.uploads, b"here", SHA512)
    upload_id = await started(disk.store.uploads)
    digits = blob.digest.hex
    finished = [name for name in disk.files() if name.startswith("uploads/") and str(upload_id) not in name]
    assert len(finished) == 1
    assert finished[0].endswith("/upload.json")
    assert [name for name in disk.files() if name not in finished] == sorted(
        [
            f"blobs/sha512/{digits[:2]}/{digits}/{blob.generation}",
            "store-id",
            f"unlinked/{blob.generation}.sha512.{digits}",
            f"uploads/{upload_id}/data",
            f"uploads/{upload_id}/upload.json",
        ]
    )
    record = json.loads(kept_text(disk.session(upload_id) / "upload.json"))
    assert record["repository"] == "library/app"
    assert (record["project_id"], record["subject"], record["algorithm"]) == (1, "user:7", SHA256)


async def test_the_store_keeps_its_id_and_all_it_has_when_it_is_opened_again(disk: Disk) -> None:
    blob = await push(disk.store.uploads, DATA)
    upload_id = await started(disk.store.uploads)
    before = disk.files()
    other = await disk.another()
    assert other.id == disk.store.id
    assert len(other.id) == 36
    assert disk.files() == before
    assert await read(other.blobs, blob.key) == DATA
    assert await other.uploads.status(upload_id) == 0


async def test_only_the_owner_may_look_inside(disk: Disk) -> None:
    await push(disk.store.uploads, DATA)
    assert (disk.root / "blobs").stat().st_mode & 0o077 == 0
    assert (disk.root / "uploads").stat().st_mode & 0o077 == 0


async def test_bytes_are_hashed_as_they_come_and_not_again(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA[:1000])
    await append(disk.store.uploads, upload_id, DATA[1000:])
    await disk.store.uploads.finish(upload_id, Digest.of(DATA))
    assert disk.counted("blobsvc_rehashed_bytes_total") == 0
    assert disk.counted("blobsvc_uploaded_bytes_total") == len(DATA)


async def test_another_algorithm_than_announced_is_hashed_again(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads, SHA256)
    await append(disk.store.uploads, upload_id, DATA)
    await disk.store.uploads.finish(upload_id, Digest.of(DATA, SHA512))
    assert disk.counted("blobsvc_rehashed_bytes_total") == len(DATA)


async def test_an_upload_goes_on_after_a_restart(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    await append(disk.store.uploads, upload_id, DATA[:3000])
    other = await disk.another()
    assert await other.uploads.status(upload_id) == 3000
    await append(other.uploads, upload_id, DATA[3000:], offset=3000)
    blob = await other.uploads.finish(upload_id, Digest.of(DATA), len(DATA))
    assert await read(other.blobs, blob.key) == DATA


async def test_replicas_take_turns_in_one_upload(disk: Disk) -> None:
    replicas = [disk.store, await disk.another(), await disk.another()]
    upload_id = await started(disk.store.uploads)
    for number in range(9):
        await append(replicas[number % 3].uploads, upload_id, DATA[number * 1000 : number * 1000 + 1000])
    # The first one has hashed the first thousand bytes, and seen none of its neighbours'.
    blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA[:9000]))
    assert await read(replicas[1].blobs, blob.key) == DATA[:9000]
    for replica in replicas:
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await append(replica.uploads, upload_id, b"late")
        assert await replica.uploads.finish(upload_id, Digest.of(DATA[:9000])) == blob


async def test_replicas_keep_each_other_out_of_an_upload(disk: Disk) -> None:
    other = await disk.another()
    upload_id = await started(disk.store.uploads)
    async with disk.store.uploads.open(upload_id) as appender:
        await appender.append(b"mine")
        with refused("UPLOAD_CONFLICT"):
            await append(other.uploads, upload_id, b"theirs")
        finishing = asyncio.ensure_future(other.uploads.finish(upload_id, Digest.of(b"mine alone")))
        await appender.append(b" alone")
        await appender.commit()
    assert (await finishing).size_bytes == 10


async def test_a_hash_that_was_forgotten_is_made_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    registry, pool = CollectorRegistry(), BlockingPool("test", 2)
    uploads = FileUploads(layout, pool, StoreMetrics(registry), remembered_uploads=1)
    try:
        first, second = await started(uploads), await started(uploads)
        for start in range(0, 4000, 1000):
            await append(uploads, first, DATA[start : start + 1000])
            await append(uploads, second, DATA[start : start + 1000])
        await uploads.finish(first, Digest.of(DATA[:4000]))
        await uploads.finish(second, Digest.of(DATA[:4000]))
        assert len(uploads._progress) <= 1
        assert registry.get_sample_value("blobsvc_rehashed_bytes_total") > 0  # type: ignore[operator]  # it is there
    finally:
        pool.close()


async def test_no_file_stays_open(disk: Disk) -> None:
    def opened() -> set[str]:
        paths = []
        for link in Path("/proc/self/fd").iterdir():
            # The folder's own descriptor is gone by the time that it is looked at.
            with suppress(FileNotFoundError):
                paths.append(str(link.readlink()))
        return {path for path in paths if path.startswith(str(disk.root))}

    upload_id = await started(disk.store.uploads)
    blob = await push(disk.store.uploads, DATA)
    await append(disk.store.uploads, upload_id, DATA)
    async with disk.store.blobs.open(blob.key) as part:
        async for _chunk in part.chunks:
            assert opened() == {str(disk.blob(blob.key))}
            break
    with refused("RANGE_INVALID"):
        await read(disk.store.blobs, blob.key, 2**40)
    assert opened() == set()


async def test_who_is_cancelled_while_waiting_for_the_lock_leaves_none_behind(disk: Disk) -> None:
    upload_id = await started(disk.store.uploads)
    for _ in range(30):
        writing = asyncio.ensure_future(append(disk.store.uploads, upload_id, b"x"))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    size = await until_free(lambda: append(disk.store.uploads, upload_id, b""))
    await disk.store.uploads.finish(upload_id, Digest.of(b"x" * size))


async def test_a_finish_whose_caller_goes_away_can_be_repeated(disk: Disk) -> None:
    for delay in range(6):
        upload_id = await started(disk.store.uploads)
        await append(disk.store.uploads, upload_id, DATA)
        finishing = asyncio.ensure_future(disk.store.uploads.finish(upload_id, Digest.of(DATA)))
        for _ in range(delay):
            await asyncio.sleep(0)
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        blob = await disk.store.uploads.finish(upload_id, Digest.of(DATA))
        assert await read(disk.store.blobs, blob.key) == DATA


async def test_a_blob_that_is_cut_short_under_a_reader_is_damaged(disk: Disk) -> None:
    blob = await push(disk.store.uploads, DATA)
    async with disk.store.blobs.open(blob.key) as part:
        chunks = aiter(part.chunks)
        await anext(chunks)
        os.truncate(disk.blob(blob.key), 1_048_576)
        with refused("BLOB_DAMAGED"):
            async for _chunk in chunks:
                pass


async def test_links_are_not_followed(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file"
    elsewhere.write_bytes(b"secret")
    blob = await push(disk.store.uploads, b"public")
    disk.blob(blob.key).unlink()
    disk.blob(blob.key).symlink_to(elsewhere)
    with refused("BLOB_UNKNOWN"):
        await read(disk.store.blobs, blob.key)
    upload_id = await started(disk.store.uploads)
    disk.data(upload_id).unlink()
    disk.data(upload_id).symlink_to(elsewhere)
    with refused("UNAVAILABLE"):
        await append(disk.store.uploads, upload_id, b"x")
    assert elsewhere.read_bytes() == b"secret"


async def test_what_somebody_else_put_there_is_left_alone(disk: Disk) -> None:
    blob = await push(disk.store.uploads, DATA)
    strangers = [
        disk.root / "blobs" / "notes.txt",
        disk.root / "blobs" / "sha256" / "lost+found",
        disk.blob(blob.key).with_name("copy.bak"),
        disk.root / "uploads" / "README",
    ]
    for stranger in strangers:
        stranger.write_text("mine")
    assert await keys(disk.store.admin) == [blob.key]
    far = datetime.now(UTC) + timedelta(days=400)
    await disk.store.admin.expire_uploads(started_before=far, idle_since=far, finished_before=far)
    await disk.store.admin.delete(blob.key)
    assert all(stranger.read_text() == "mine" for stranger in strangers)
    assert await keys(disk.store.admin) == []


async def test_a_delete_removes_the_folder_of_its_digest(disk: Disk) -> None:
    blob = await push(disk.store.uploads, DATA)
    await disk.store.admin.delete(blob.key)
    assert not disk.blob(blob.key).parent.exists()


async def test_a_generation_that_was_given_twice_takes_no_place(disk: Disk) -> None:
    blob = await push(disk.store.uploads, b"same")
    upload_id = await started(disk.store.uploads)
    record_file = disk.session(upload_id) / "upload.json"
    record = json.loads(kept_text(record_file))
    record_file.unlink()
    record_file.write_text(json.dumps({**record, "generation": blob.generation.number}))
    other = await disk.another()
    await append(other.uploads, upload_id, b"same")
    inode = disk.blob(blob.key).stat().st_ino
    with refused("UNAVAILABLE"):
        await other.uploads.finish(upload_id, blob.digest)
    assert disk.blob(blob.key).stat().st_ino == inode


async def test_what_a_crash_left_of_a_start_is_unknown_and_goes_with_the_sweep(disk: Disk) -> None:
    empty, half, torn = UploadId.new(), UploadId.new(), UploadId.new()
    for upload_id in (empty, half, torn):
        disk.session(upload_id).mkdir()
    (disk.session(half) / "upload.json").write_text('{"repository": "lib')
    (disk.session(torn) / "upload.json").write_text('{"repository": "lib')
    disk.data(torn).touch()
    for upload_id in (empty, half, torn):
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await append(disk.store.uploads, upload_id, b"x")
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await disk.store.uploads.finish(upload_id, Digest.of(b"x"))
    await disk.store.admin.expire_uploads(started_before=LONG_AGO, idle_since=LONG_AGO, finished_before=LONG_AGO)
    assert disk.session(empty).exists()
    soon = datetime.now(UTC) + timedelta(minutes=1)
    await disk.store.admin.expire_uploads(started_before=soon, idle_since=soon, finished_before=soon)
    assert list((disk.root / "uploads").iterdir()) == []


async def test_a_page_that_finds_nothing_is_short_and_not_the_last(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blobsvc.store.filesystem.admin._EXAMINED_PER_PAGE", 3)
    blobs = sorted([await push(disk.store.uploads, bytes([n])) for n in range(7)], key=lambda blob: blob.key)
    pages, after = [], None
    for _ in range(10):
        page = await disk.store.admin.list(after=after, finished_before=LONG_AGO)
        pages.append(page)
        after = page.next_after
        if after is None:
            break
    assert [page.next_after for page in pages] == [blobs[2].key, blobs[5].key, None]
    assert all(page.blobs == () for page in pages)


async def test_chunks_get_smaller_with_many_readers(disk: Disk) -> None:
    blob = await push(disk.store.uploads, DATA)
    async with asyncio.timeout(30):
        opened = [disk.store.blobs.open(blob.key) for _ in range(100)]
        parts = [await part.__aenter__() for part in opened]
        sizes = [len(await anext(aiter(part.chunks))) for part in parts[-10:]]
        for part in opened:
            await part.__aexit__(None, None, None)
    assert max(sizes) <= 256 * 1024
    assert await read(disk.store.blobs, blob.key) == DATA
