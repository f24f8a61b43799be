"""Uploads into the staging file: what is checked before, who holds the lock and for how long, and what is refused."""

import asyncio
import errno
import fcntl
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import pytest

from gateway.clients import staging_file
from svckit.errors import error_for
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of

UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
CONTENT = random.Random(4).randbytes(5 * 1024 * 1024 + 3)


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    return await make_house(placement="file", blob_file_min_bytes=0)


async def begin(house: House) -> str:
    location: str = (await house.http.post(UPLOADS, headers=house.bearer())).headers["Location"]
    return location


async def chunked(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def received_bytes(house: House, placement: str) -> float:
    value: float = house.app.metrics.blob_received_bytes.labels(placement)._value.get()
    return value


def is_locked(path: Path) -> bool:
    with path.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def is_open(path: Path) -> bool:
    """Whether this process, which is also the gateway, has the file open."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            if descriptor.readlink() == path:
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_bytes_go_into_the_file_and_are_counted(house: House, is_chunked: bool) -> None:
    location = await begin(house)
    body = chunked(CONTENT) if is_chunked else CONTENT
    answer = await house.http.patch(location, content=body, headers=house.bearer())
    assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{len(CONTENT) - 1}")
    [upload] = house.blobsvc.uploads.values()
    assert upload == CONTENT
    assert (received_bytes(house, "file"), received_bytes(house, "stream")) == (len(CONTENT), 0)


async def test_the_lock_is_held_until_the_bytes_are_durable_and_no_longer(house: House) -> None:
    locked = []
    house.blobsvc.before_committing = lambda path: locked.append(is_locked(path))
    location = await begin(house)
    await house.http.patch(location, content=CONTENT, headers=house.bearer())
    [path] = house.blobsvc.staged
    assert locked == [True]
    assert not is_locked(path)
    assert not is_open(path)


@pytest.mark.parametrize(
    ("size", "is_chunked", "placement"),
    [
        (1_000_000, True, "stream"),
        (1_000_000, False, "stream"),
        (1_048_576, False, "file"),
        (3_000_000, True, "file"),
        (0, True, "stream"),
    ],
)
async def test_small_bodies_go_over_the_stream(
    make_house: MakeHouse, size: int, is_chunked: bool, placement: str
) -> None:
    house = await make_house(placement="file")
    location = await begin(house)
    body = chunked(CONTENT[:size]) if is_chunked else CONTENT[:size]
    answer = await house.http.patch(location, content=body, headers=house.bearer())
    assert answer.status_code == 202
    [upload] = house.blobsvc.uploads.values()
    assert upload == CONTENT[:size]
    other = {"stream": "file", "file": "stream"}[placement]
    assert (received_bytes(house, placement), received_bytes(house, other)) == (size, 0)


def _other_store(house: House, file: Path) -> None:
    (house.folder / "store" / "store-id").write_text("another\n")


def _no_store(house: House, file: Path) -> None:
    (house.folder / "store" / "store-id").unlink()


def _no_file(house: House, file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("change", [_other_store, _no_store, _no_file])
async def test_where_the_folder_is_of_no_use_the_stream_is_used(
    house: House, change: Callable[[House, Path], None]
) -> None:
    house.blobsvc.after_locating = lambda file: change(house, file)
    location = await begin(house)
    answer = await house.http.patch(location, content=chunked(CONTENT), headers=house.bearer())
    assert answer.status_code == 202
    [upload] = house.blobsvc.uploads.values()
    assert upload == CONTENT
    assert received_bytes(house, "stream") == len(CONTENT)
    [file] = house.blobsvc.staged
    assert not file.is_file() or file.stat().st_size == 0


async def test_where_the_store_has_no_files_the_stream_is_used(house: House) -> None:
    house.blobsvc.folder = None
    location = await begin(house)
    answer = await house.http.put(
        f"{location}&digest={digest_of(CONTENT)}", content=chunked(CONTENT), headers=house.bearer()
    )
    assert answer.status_code == 201
    assert house.blobsvc.blobs[digest_of(CONTENT)] == CONTENT


def _deleted(file: Path) -> None:
    file.unlink()


def _replaced(file: Path) -> None:
    # A link keeps the inode from being used again.
    os.link(file, file.with_name("kept"))
    file.unlink()
    file.write_bytes(b"")


def _renamed(file: Path) -> None:
    file.rename(file.with_name("a-blob"))


def _named_twice(file: Path) -> None:
    # A loss of power may leave it so after a finish.
    os.link(file, file.with_name("a-blob"))


def _grown(file: Path) -> None:
    file.write_bytes(b"x")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (_deleted, 404, "BLOB_UPLOAD_UNKNOWN"),
        (_replaced, 404, "BLOB_UPLOAD_UNKNOWN"),
        (_renamed, 404, "BLOB_UPLOAD_UNKNOWN"),
        (_named_twice, 404, "BLOB_UPLOAD_UNKNOWN"),
        (_grown, 409, "BLOB_UPLOAD_INVALID"),
    ],
)
async def test_a_file_that_somebody_else_has_touched_meanwhile_is_not_written(
    house: House, change: Callable[[Path], None], status: int, code: str
) -> None:
    house.blobsvc.after_locating = change
    location = await begin(house)
    answer = await house.http.patch(location, content=CONTENT, headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    folder = house.blobsvc.staged[0].parent
    assert all(file.stat().st_size <= 1 for file in folder.iterdir())
    assert not any(is_open(file) for file in folder.iterdir())


@pytest.mark.parametrize("moment", ["before the lock", "after the open"])
async def test_a_file_that_becomes_a_blob_before_it_is_locked_is_not_written(
    house: House, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = staging_file._lock
    [blob] = [house.folder / "store" / "a-blob"]

    def finish(descriptor: int) -> None:
        if moment == "before the lock":
            house.blobsvc.staged[0].rename(blob)
        lock(descriptor)
        if moment == "after the open":
            house.blobsvc.staged[0].rename(blob)

    monkeypatch.setattr(staging_file, "_lock", finish)
    location = await begin(house)
    answer = await house.http.patch(location, content=CONTENT, headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert blob.read_bytes() == b""
    assert not is_open(blob)


async def test_of_two_writers_one_is_refused(house: House) -> None:
    location = await begin(house)
    opened = []

    def lock(file: Path) -> None:
        descriptor = os.open(file, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        opened.append(descriptor)

    house.blobsvc.after_locating = lock
    answer = await house.http.patch(location, content=CONTENT, headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "BLOB_UPLOAD_INVALID")
    os.close(opened[0])
    house.blobsvc.after_locating = lambda _: None
    assert (await house.http.patch(location, content=CONTENT, headers=house.bearer())).status_code == 202


@pytest.mark.parametrize("ahead", [0, 1, 700_000])
async def test_nothing_is_written_beyond_what_is_allowed(house: House, ahead: int) -> None:
    house.blobsvc.allowed_ahead = ahead
    house.blobsvc.most_bytes = 3_000_000
    location = await begin(house)
    answer = await house.http.patch(location, content=chunked(CONTENT), headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "DENIED")
    [file] = house.blobsvc.staged
    assert 0 < file.stat().st_size <= 3_000_000
    assert file.read_bytes() == CONTENT[: file.stat().st_size]
    await wait_until_async(lambda: is_open(file), "the file to be closed", wanted=lambda found: not found)


@pytest.mark.parametrize(("number", "status", "code"), [(errno.ENOSPC, 507, "STORAGE_FULL"), (errno.EIO, 503, "")])
async def test_a_write_that_fails_is_answered_as_over_the_stream(
    house: House, number: int, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(number, os.strerror(number))

    location = await begin(house)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        answer = await house.http.patch(location, content=CONTENT, headers=house.bearer())
    assert answer.status_code == status
    assert code in answer.text
    [file] = house.blobsvc.staged
    await wait_until_async(lambda: is_open(file), "the file to be closed", wanted=lambda found: not found)


async def test_when_blobsvc_refuses_in_the_middle_its_reason_is_answered_and_what_was_written_stays(
    house: House,
) -> None:
    def fail(_: Path) -> None:
        raise error_for("STORAGE_FULL")

    house.blobsvc.before_committing = fail
    location = await begin(house)
    answer = await house.http.patch(location, content=CONTENT, headers=house.bearer())
    assert answer.status_code == 507
    [file] = house.blobsvc.staged
    assert file.read_bytes() == CONTENT
    assert not is_locked(file)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pieces that are given to a staging file."""
    sizes: list[int] = []
    write = staging_file.StagingFile.write

    def note(file: staging_file.StagingFile, pieces: Sequence[bytes]) -> None:
        sizes.extend(map(len, pieces))
        write(file, pieces)

    monkeypatch.setattr(staging_file.StagingFile, "write", note)
    return sizes


async def send(house: House, head: str, body: Iterable[bytes]) -> None:
    """Sends a PATCH as fast as the server reads it."""
    location = await begin(house)
    reader, writer = await house.raw()
    authorization = house.bearer()["Authorization"]
    writer.write(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n{head}\r\n\r\n".encode())
    for part in body:
        writer.write(part)
        await writer.drain()
    async with asyncio.timeout(20):
        assert b" 202 " in await reader.readline()
    writer.transport.abort()
    [upload] = house.blobsvc.uploads.values()
    assert upload == CONTENT


@pytest.mark.parametrize("server", ["granian"], indirect=True)
async def test_large_pieces_are_written_as_the_server_gives_them(make_house: MakeHouse, written: list[int]) -> None:
    house = await make_house(placement="file")
    await send(house, f"Content-Length: {len(CONTENT)}", [CONTENT])
    # Not joined into chunks of a MiB, which would copy each byte once more. Each piece wakes three threads, so they are
    # large; but what hyper reads at once, it also keeps of a head that does not end.
    assert 64 * 1024 < max(written) <= 128 * 1024


@pytest.mark.parametrize("server", ["granian"], indirect=True)
async def test_small_pieces_are_joined_before_they_are_written(make_house: MakeHouse, written: list[int]) -> None:
    house = await make_house(placement="file", blob_file_min_bytes=0)
    parts = [CONTENT[start : start + 1000] for start in range(0, len(CONTENT), 1000)]
    body = [*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]
    await send(house, "Transfer-Encoding: chunked", body)
    assert sum(written) == len(CONTENT)
    assert len(written) < len(parts) / 100
