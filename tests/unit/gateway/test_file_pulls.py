"""Downloads from files: what is checked before, what happens when a file changes, and what is left open."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from gateway.config import Limits
from tests.harness.stand_ins.blobsvc import STORE_ID
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, on_both_servers

pytestmark = on_both_servers

MIB = 1024 * 1024
CONTENT = random.Random(2).randbytes(9 * MIB + 5)


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
    content = bytes(64 * MIB)
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


async def begin(house: House, digest: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Asks for a blob, and reads the head of the answer. The system holds little of what is not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", house.port))
    reader, writer = await asyncio.open_connection(sock=client, limit=64 * 1024)
    token = house.bearer("pull")["Authorization"]
    writer.write(f"GET {path(digest)} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    return reader, writer


async def read_slowly(reader: asyncio.StreamReader, size: int, bytes_per_second: int) -> bytes:
    """Reads so much, or to the end of the connection."""
    pieces, left = [], size
    with suppress(ConnectionError):
        while left and (piece := await reader.read(min(left, 64 * 1024))):
            pieces.append(piece)
            left -= len(piece)
            await asyncio.sleep(len(piece) / bytes_per_second)
    return b"".join(pieces)


async def test_a_client_that_leaves_has_the_file_closed_and_only_what_it_took_is_counted(house: House) -> None:
    content = bytes(64 * MIB)
    reader, writer = await begin(house, house.hold(content))
    await reader.readexactly(MIB)
    assert len(open_blobs(house)) == 1
    writer.transport.abort()
    await house.until_idle()
    await wait_until_async(lambda: open_blobs(house), "the file to be closed", wanted=lambda found: not found)
    assert house.app.admission.streams.taken == 0
    assert 0 < sent_bytes(house, "file") < len(content)


async def test_a_slow_client_gets_all_and_keeps_its_place_and_the_file_until_then(make_house: MakeHouse) -> None:
    limits = Limits(idle_body_seconds=1, body_bytes_per_second=MIB // 4, drain_seconds=0.2)
    house = await make_house(placement="file", limits=limits)
    content = random.Random(4).randbytes(24 * MIB)
    began = time.monotonic()
    reader, writer = await begin(house, house.hold(content))
    got = await read_slowly(reader, len(content) // 2, 8 * MIB)
    # It has taken longer already than a client may stand still.
    assert time.monotonic() - began > limits.idle_body_seconds
    assert (house.app.admission.streams.taken, len(open_blobs(house))) == (1, 1)
    assert sent_bytes(house, "file") < len(content)
    got += await read_slowly(reader, len(content) // 2, 8 * MIB)
    assert got == content
    await house.until_idle()
    assert (house.app.admission.streams.taken, open_blobs(house)) == (0, [])
    assert sent_bytes(house, "file") == len(content)
    writer.transport.abort()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(idle_body_seconds=0.5, body_bytes_per_second=16 * MIB, drain_seconds=0.2),
        Limits(stream_seconds=1, drain_seconds=0.2),
    ],
    ids=["rate", "time"],
)
async def test_a_client_that_is_too_slow_is_cut_off(make_house: MakeHouse, limits: Limits) -> None:
    house = await make_house(placement="file", limits=limits)
    content = bytes(64 * MIB)
    reader, writer = await begin(house, house.hold(content))
    async with asyncio.timeout(20):
        got = await read_slowly(reader, len(content), 2 * MIB)
    assert len(got) < len(content)
    await house.until_idle()
    assert (house.app.admission.streams.taken, open_blobs(house)) == (0, [])
    assert sent_bytes(house, "file") < len(content)
    writer.transport.abort()
