"""Uploads whose bytes go from the socket into the file, and that fail in the middle, or must be bounded."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import Limits
from gateway.servers.hypercorn.handover import HeldBody
from svckit.errors import error_for
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import House, MakeHouse
from tests.unit.gateway.handover.moving import CONTENT, MIB, USUAL, Moves, Upload, chunks, is_same


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
