"""Downloads from files: what is checked before, what happens when a file changes, and what is left open."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.harness.stand_ins.blobsvc import STORE_ID
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse

CONTENT = random.Random(2).randbytes(9 * 1024 * 1024 + 5)


def path(digest: str) -> str:
    return f"/v2/{REPOSITORY}/blobs/{digest}"


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    return await make_house(placement="file")


def open_blobs(house: House) -> list[str]:
    """The files of blobs that this process, which is also the gateway, has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith(str(house.folder)) and "/blobs/" in target:
            found.append(target)
    return found


def sent_bytes(house: House, placement: str) -> float:
    value: float = house.app.metrics.blob_sent_bytes.labels(placement)._value.get()
    return value


async def test_bytes_come_from_the_file_and_are_counted(house: House) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.get(path(digest), headers=house.bearer("pull"))
    assert answer.content == CONTENT
    await house.until_idle()
    assert house.blobsvc.reads == []
    assert (sent_bytes(house, "file"), sent_bytes(house, "stream")) == (len(CONTENT), 0)
    assert open_blobs(house) == []


async def test_a_request_for_many_ranges_needs_one_grant_and_one_file(house: House) -> None:
    digest = house.hold(CONTENT)
    wanted = [(5_000_000, 7_000_000), (0, 9), (2_000_000, 4_500_000)]
    asked = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Length"] == str(len(answer.content))
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    got = [part.partition(b"\r\n\r\n")[2] for part in answer.content.split(b"\r\n--" + boundary)[1:-1]]
    assert got == [CONTENT[first : last + 1] for first, last in wanted]
    assert len(house.blobsvc.located) == 1
    assert len(house.metasvc.request_ids) == 1


async def test_the_same_request_has_the_same_answer_either_way(make_house: MakeHouse, house: House) -> None:
    stream = await make_house()
    for content in (CONTENT, b"x", b""):
        digest = house.hold(content)
        stream.hold(content)
        for asked in (None, "bytes=0-0", "bytes=-5", "bytes=3-", "bytes=1-70000", "bytes=99999999-", "bytes=0-,1-2"):
            for method in ("GET", "HEAD"):
                ranges = {} if asked is None else {"Range": asked}
                answers = [
                    await each.http.request(method, path(digest), headers=each.bearer("pull") | ranges)
                    for each in (house, stream)
                ]
                seen = [(answer.status_code, _without_id(answer.headers), answer.content) for answer in answers]
                assert seen[0] == seen[1], (method, asked)


def _without_id(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.multi_items() if name not in {"x-request-id", "date"}]


def _other_store(house: House, file: Path) -> None:
    (house.folder / "store" / "store-id").write_text("another\n")


def _no_store(house: House, file: Path) -> None:
    (house.folder / "store" / "store-id").unlink()


def _other_file(house: House, file: Path) -> None:
    file.rename(file.with_name("kept"))
    file.write_bytes(bytes(len(CONTENT)))


def _shorter(house: House, file: Path) -> None:
    os.truncate(file, 5)


def _deleted(house: House, file: Path) -> None:
    file.unlink()


def _link(house: House, file: Path) -> None:
    other = file.rename(file.with_name("kept"))
    file.symlink_to(other)


@pytest.mark.parametrize("change", [_other_store, _no_store, _other_file, _shorter, _deleted, _link])
async def test_a_file_that_is_not_the_one_that_blobsvc_named_is_not_sent(
    house: House, change: Callable[[House, Path], None]
) -> None:
    digest = house.hold(CONTENT)
    house.blobsvc.after_locating = lambda file: change(house, file)
    answer = await house.http.get(path(digest), headers=house.bearer("pull"))
    assert answer.content == CONTENT
    await house.until_idle()
    assert house.blobsvc.reads == [(0, len(CONTENT))]
    assert open_blobs(house) == []


@pytest.mark.parametrize("name", ["../store-id", "/etc/passwd", "blobs/../../secret", ""])
async def test_a_path_that_leads_out_of_the_folder_is_not_opened(house: House, name: str) -> None:
    from gateway.clients.store_folder import OtherStoreError, open_placed

    (house.folder / "secret").write_text("?")
    with pytest.raises(OtherStoreError):
        open_placed(house.folder / "store", STORE_ID, name, os.O_RDONLY)


async def test_a_file_that_is_deleted_while_it_is_sent_comes_whole(house: House) -> None:
    digest = house.hold(CONTENT)
    async with house.http.stream("GET", path(digest), headers=house.bearer("pull")) as answer:
        pieces = answer.aiter_bytes(1000)
        got = await anext(pieces)
        [file] = house.blobsvc.located
        file.unlink()
        got += b"".join([piece async for piece in pieces])
    assert got == CONTENT


async def test_a_file_that_becomes_shorter_while_it_is_sent_cuts_the_connection_and_is_reported(house: House) -> None:
    content = bytes(64 * 1024 * 1024)
    digest = house.hold(content)
    async with house.http.stream("GET", path(digest), headers=house.bearer("pull")) as answer:
        pieces = answer.aiter_bytes(1000)
        await anext(pieces)
        [file] = house.blobsvc.located
        os.truncate(file, 1000)
        house.blobsvc.damaged.add(digest)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            [piece async for piece in pieces]
    assert house.metasvc.findings == [digest]
    await house.until_idle()
    assert open_blobs(house) == []


async def test_a_client_that_leaves_has_the_file_closed(house: House) -> None:
    digest = house.hold(bytes(64 * 1024 * 1024))
    reader, writer = await house.raw()
    token = house.bearer("pull")["Authorization"]
    writer.write(f"GET {path(digest)} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert len(open_blobs(house)) == 1
    writer.transport.abort()
    await house.until_idle()
    await wait_until_async(lambda: open_blobs(house), "the file to be closed", wanted=lambda found: not found)
