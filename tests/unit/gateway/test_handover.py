"""Uploads whose bytes go from the socket into the file: nothing is lost, read twice, or held on to."""

import asyncio
import errno
import os
import random
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from gateway.config import Limits
from gateway.servers.hypercorn.handover import HeldBody
from svckit.errors import error_for
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of

MIB = 1024 * 1024
CONTENT = random.Random(11).randbytes(24 * MIB + 7)
USUAL = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Moves:
    """What went from sockets into files."""

    def __init__(self) -> None:
        self.bytes: list[int] = []
        self.waits = 0
        self.sockets: list[socket.socket] = []

    @property
    def total(self) -> int:
        return sum(self.bytes)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    seen, give_back, wait = Moves(), HeldBody.give_back, HeldBody.wait

    async def note(self: HeldBody) -> None:
        seen.bytes.append(self.moved_bytes)
        if self._socket is not None:
            seen.sockets.append(self._socket)
        await give_back(self)

    async def note_wait(self: HeldBody) -> bool:
        seen.waits += 1
        return await wait(self)

    monkeypatch.setattr(HeldBody, "give_back", note)
    monkeypatch.setattr(HeldBody, "wait", note_wait)
    return seen


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    return await make_house(placement="file")


@pytest.fixture(autouse=True)
async def closed_connections() -> AsyncIterator[None]:
    yield
    for upload in Upload.begun:
        upload.writer.transport.abort()
    Upload.begun.clear()
    await asyncio.sleep(0)


class Upload:
    """One upload over a connection of its own."""

    begun: ClassVar[list["Upload"]] = []

    def __init__(self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, location: str) -> None:
        self.house, self.reader, self.writer, self.location = house, reader, writer, location

    @classmethod
    async def begin(cls, house: House) -> "Upload":
        begun = await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
        upload = cls(house, *await house.raw(), begun.headers["Location"])
        cls.begun.append(upload)
        return upload

    def head(self, *headers: str) -> bytes:
        lines = [f"PATCH {self.location} HTTP/1.1", "Host: x", *headers]
        lines.append(f"Authorization: {self.house.bearer()['Authorization']}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """The status line of the next answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
            await self.reader.readexactly(int(length[1]) if length else 0)
            return head.partition(b"\r\n")[0]

    async def end(self) -> None:
        """Returns when the gateway has closed the connection."""
        # It may be closed while the client sends.
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while await self.reader.read(65536):
                    pass

    async def status(self) -> str:
        answer = await self.house.http.get(self.location, headers=self.house.bearer())
        return answer.headers["Range"]

    @property
    def file(self) -> Path:
        return self.house.blobsvc.staged[-1]


def chunks(content: bytes, sizes: Callable[[], int]) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        piece = content[at : at + sizes()]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
        at += len(piece)


def is_same(found: bytes, sent: bytes) -> bool:
    """Compared here: pytest takes minutes to show where bytes of this size differ."""
    return found == sent


async def test_a_body_with_a_length_goes_into_the_file_and_the_next_request_is_read_after_it(
    house: House, moves: Moves
) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT + USUAL * 2)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > len(CONTENT) // 2


@pytest.mark.parametrize("size", [1_000, 32 * 1024, 99_991, MIB, 7 * MIB + 1, None])
async def test_chunks_of_any_size_go_into_the_file(house: House, moves: Moves, size: int | None) -> None:
    source = random.Random(size)
    upload = await Upload.begin(house)
    await upload.send(upload.head("Transfer-Encoding: chunked"))
    for chunk in chunks(CONTENT, lambda: size or source.choice([1, 2, 500, 70_000, 3 * MIB])):
        line, _, rest = chunk.partition(b"\r\n")
        # As clients write that do not join the pieces.
        for piece in (line + b"\r\n", rest[:-2], b"\r\n") if len(rest) > MIB else (chunk,):
            await upload.send(piece)
    await upload.send(b"0\r\n\r\n" + USUAL)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > MIB


async def test_many_bodies_at_once_and_one_after_the_other_over_one_connection(house: House, moves: Moves) -> None:
    async def push(number: int) -> None:
        upload = await Upload.begin(house)
        content = CONTENT[number:]
        middle = len(content) // 2 + number
        for part, start in ((content[:middle], 0), (content[middle:], middle)):
            headers = f"Content-Range: {start}-{start + len(part) - 1}", f"Content-Length: {len(part)}"
            await upload.send(upload.head(*headers) + part)
            assert await upload.answer() == b"HTTP/1.1 202 Accepted"
        closed = await house.http.put(f"{upload.location}&digest={digest_of(content)}", headers=house.bearer())
        assert closed.status_code == 201
        assert is_same(house.blobsvc.blobs[digest_of(content)], content)
        upload.writer.close()
        await upload.writer.wait_closed()

    await asyncio.gather(*(push(number) for number in range(5)))
    assert moves.total > 50 * MIB
    assert {each.fileno() for each in moves.sockets} == {-1}


@pytest.mark.parametrize("unusual", [b"5;name=value\r\nhello\r\n", b"5 \r\nhello\r\n", b"000000005\r\nhello\r\n"])
async def test_an_unusual_chunk_is_read_by_the_server_and_the_body_goes_on(
    house: House, moves: Moves, unusual: bytes
) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head("Transfer-Encoding: chunked"))
    usual = b"".join(chunks(CONTENT, lambda: MIB))
    await upload.send(usual + unusual + usual + b"0\r\nX-Trailer: y\r\n\r\n" + USUAL)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT + b"hello" + CONTENT)
    assert moves.total > MIB


@pytest.mark.parametrize("wrong", [b"x\r\n", b"5\r\nhelloX\r\n", b"-5\r\n", b"5\nhello\n", b"1;" + b"e" * 700_000])
async def test_a_malformed_chunk_is_refused_and_what_came_before_stays(
    house: House, moves: Moves, wrong: bytes
) -> None:
    upload = await Upload.begin(house)
    content = CONTENT[: 12 * MIB]
    await upload.send(
        upload.head("Transfer-Encoding: chunked") + b"".join(chunks(content, lambda: MIB)) + wrong + USUAL
    )
    assert (await upload.answer()).startswith(b"HTTP/1.1 4")
    await upload.end()
    await house.until_idle()
    stored = content + (b"hello" if wrong.startswith(b"5\r\n") else b"")
    assert upload.file.stat().st_size == len(stored)
    assert is_same(upload.file.read_bytes(), stored)
    assert moves.total > MIB


@pytest.mark.parametrize("how", ["closes", "resets", "closes its half"])
async def test_what_came_before_the_client_left_stays(house: House, moves: Moves, how: str) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head("Content-Length: 99999999") + CONTENT)
    await wait_until_async(lambda: moves.waits, "the rest to be waited for", wanted=bool)
    if how == "closes":
        upload.writer.close()
    elif how == "resets":
        # Linger for no time.
        upload.writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        upload.writer.transport.abort()
    else:
        upload.writer.write_eof()
    await wait_until_async(upload.status, "it to be stored", wanted=lambda seen: seen == f"0-{len(CONTENT) - 1}")
    await house.until_idle()
    upload.writer.close()
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert {each.fileno() for each in moves.sockets} == {-1}


async def test_a_client_that_stops_in_the_middle_is_given_up(make_house: MakeHouse, moves: Moves) -> None:
    limits = Limits(idle_body_seconds=1, drain_seconds=0.2)
    house = await make_house(limits, placement="file")
    upload = await Upload.begin(house)
    await upload.send(upload.head("Content-Length: 99999999") + CONTENT)
    assert await upload.answer() == b"HTTP/1.1 408 Request Timeout"
    assert moves.total > MIB
    assert await upload.status() == f"0-{len(CONTENT) - 1}"


async def test_a_fast_client_has_no_more_time_than_others(make_house: MakeHouse, moves: Moves) -> None:
    limits = Limits(stream_seconds=1, drain_seconds=0.2)
    house = await make_house(limits, placement="file")
    upload = await Upload.begin(house)

    async def send() -> None:
        await upload.send(upload.head("Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%s\r\n" % (MIB, CONTENT[:MIB])
        while True:
            await upload.send(chunk)

    sending = asyncio.create_task(send())
    assert await upload.answer() == b"HTTP/1.1 408 Request Timeout"
    assert moves.total >= 4 * MIB
    upload.writer.transport.abort()
    sending.cancel()
    await asyncio.wait([sending])


async def test_slow_clients_hold_no_thread(
    make_house: MakeHouse, moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await make_house(placement="file")
    busy, most, lock, move = 0, 0, threading.Lock(), HeldBody.move

    def note(self: HeldBody, write: Callable[[int, int], None], most_bytes: int) -> object:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        try:
            return move(self, write, most_bytes)
        finally:
            with lock:
                busy -= 1

    monkeypatch.setattr(HeldBody, "move", note)
    slow = [await Upload.begin(house) for _ in range(12)]
    for upload in slow:
        await upload.send(upload.head("Content-Length: 99999999") + CONTENT[: 3 * MIB])
    await wait_until_async(lambda: moves.waits, "all to be waited for", wanted=lambda count: count >= len(slow))
    await wait_until_async(lambda: busy, "no thread to be held", wanted=lambda count: count == 0)
    for _ in range(5):
        for upload in slow:
            await upload.send(b"x")
    fast = await Upload.begin(house)
    await fast.send(fast.head(f"Content-Length: {len(CONTENT)}") + CONTENT)
    async with asyncio.timeout(5):
        assert await fast.answer() == b"HTTP/1.1 202 Accepted"
    assert most > 0


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, b"507"), (errno.EIO, b"503")])
async def test_when_the_disk_fails_the_client_hears_it_and_what_was_written_stays(
    house: House, moves: Moves, number: int, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    splice = os.splice

    def fail(source: int, target: int, count: int, **named: int) -> int:
        if named.get("offset_dst", 0) > 21 * MIB:
            raise OSError(number, os.strerror(number))
        return splice(source, target, count, **named)

    monkeypatch.setattr(os, "splice", fail)
    upload = await Upload.begin(house)
    sending = asyncio.create_task(upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT + USUAL))
    assert status in await upload.answer()
    await asyncio.wait([sending])
    await upload.end()
    written = upload.file.read_bytes()
    assert 21 * MIB < len(written) < len(CONTENT)
    assert is_same(written, CONTENT[: len(written)])
    monkeypatch.undo()
    again = await Upload.begin(house)
    await again.send(again.head(f"Content-Length: {len(CONTENT)}") + CONTENT)
    assert await again.answer() == b"HTTP/1.1 202 Accepted"
    assert is_same(again.file.read_bytes(), CONTENT)


async def test_a_file_system_that_takes_nothing_from_a_pipe_is_written_to(
    house: House, moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    splice = os.splice

    def refuse(source: int, target: int, count: int, **named: int) -> int:
        if "offset_dst" in named:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return splice(source, target, count, **named)

    monkeypatch.setattr(os, "splice", refuse)
    upload = await Upload.begin(house)
    await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT)
    assert await upload.answer() == b"HTTP/1.1 202 Accepted"
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > MIB


@pytest.mark.parametrize("ahead", [0, 1, 700_000, 9 * MIB])
async def test_nothing_is_moved_beyond_what_is_allowed(house: House, moves: Moves, ahead: int) -> None:
    house.blobsvc.allowed_ahead = ahead
    house.blobsvc.most_bytes = 21 * MIB
    upload = await Upload.begin(house)
    sending = asyncio.create_task(upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT))
    assert await upload.answer() == b"HTTP/1.1 403 Forbidden"
    await asyncio.wait([sending])
    written = upload.file.read_bytes()
    assert 0 < len(written) <= 21 * MIB
    assert is_same(written, CONTENT[: len(written)])


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_an_upload_may_be_exactly_as_large_as_is_allowed(house: House, moves: Moves, is_chunked: bool) -> None:
    house.blobsvc.most_bytes = len(CONTENT)
    upload = await Upload.begin(house)
    if is_chunked:
        body = b"".join(chunks(CONTENT, lambda: MIB)) + b"0\r\n\r\n"
        await upload.send(upload.head("Transfer-Encoding: chunked") + body)
    else:
        await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT)
    assert await upload.answer() == b"HTTP/1.1 202 Accepted"
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > MIB


async def test_a_body_of_another_length_than_its_range_is_refused(house: House, moves: Moves) -> None:
    upload = await Upload.begin(house)
    headers = "Transfer-Encoding: chunked", f"Content-Range: 0-{21 * MIB - 1}"
    body = b"".join(chunks(CONTENT, lambda: MIB)) + b"0\r\n\r\n"
    sending = asyncio.create_task(upload.send(upload.head(*headers) + body))
    assert await upload.answer() == b"HTTP/1.1 400 Bad Request"
    await asyncio.wait([sending])
    written = upload.file.read_bytes()
    assert 10 * MIB < len(written) <= 21 * MIB
    assert is_same(written, CONTENT[: len(written)])


async def test_a_stop_in_the_middle_ends_it(house: House, moves: Moves) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head("Content-Length: 99999999") + CONTENT)
    await wait_until_async(lambda: moves.waits, "the rest to be waited for", wanted=bool)
    async with asyncio.timeout(5):
        await house.stop()
    assert house.app.in_flight == 0
    assert is_same(upload.file.read_bytes(), CONTENT)
    await upload.end()


async def test_when_blobsvc_refuses_in_the_middle_the_client_hears_why(house: House, moves: Moves) -> None:
    def fail(_: Path) -> None:
        raise error_for("STORAGE_FULL")

    house.blobsvc.before_committing = fail
    upload = await Upload.begin(house)
    await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT + USUAL)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 507 Insufficient Storage", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT)


async def test_when_blobsvc_dies_in_the_middle_the_client_hears_it(house: House, moves: Moves) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head("Content-Length: 99999999") + CONTENT)
    await wait_until_async(lambda: moves.waits, "the rest to be waited for", wanted=bool)
    await house.servers["blobsvc"].drain(0)
    sending = asyncio.create_task(upload.send(CONTENT * 3))
    assert b" 503 " in await upload.answer()
    upload.writer.transport.abort()
    await asyncio.wait([sending])
    await house.until_idle()
