"""The pieces of a body that comes from a file."""

import asyncio
import os
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.wire import file_body
from gateway.wire.file_body import FileBody, FileReads, OpenFile
from svckit.errors import DomainError
from svckit.threads import BlockingPool
from tests.harness.waiting import wait_until_async

KIB = 1024
CONTENT = random.Random(3).randbytes(6 * 1024 * KIB + 77)


class Clock:
    """A client that takes each piece in the same time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(file_body, "time", clock)
    return clock


@pytest.fixture
def reads() -> Iterator[FileReads]:
    pool = BlockingPool("test", 1)
    yield FileReads(pool)
    pool.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    return path


class Opened:
    """A body, and what it has told."""

    def __init__(self, reads: FileReads, file: Path, *parts: bytes | range) -> None:
        self.open_file = OpenFile(os.open(file, os.O_RDONLY))
        self.descriptor = self.open_file.descriptor
        self.sent = 0
        self.short = 0
        self.body = FileBody(reads, self.open_file, parts, on_short=self._short, on_sent=self._sent)

    async def all(self) -> list[bytes]:
        try:
            return [piece async for piece in self.body]
        finally:
            await self.body.aclose()

    @property
    def is_open(self) -> bool:
        with suppress(ValueError):
            return self.open_file.descriptor > 0
        return False

    async def _short(self) -> None:
        self.short += 1

    def _sent(self, size: int) -> None:
        self.sent += size


def evict(file: Path) -> None:
    """Has the kernel forget what it holds of the file."""
    descriptor = os.open(file, os.O_RDWR)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


async def test_parts_come_in_their_order_and_only_they(reads: FileReads, file: Path) -> None:
    parts: list[bytes | range] = [b"head", range(5_000_000, 5_000_010), b"", range(0), b"-", range(3_000_000), b"tail"]
    opened = Opened(reads, file, *parts)
    got = b"".join(await opened.all())
    assert got == b"head" + CONTENT[5_000_000:5_000_010] + b"-" + CONTENT[:3_000_000] + b"tail"
    assert opened.sent == len(got)
    assert not opened.is_open
    assert reads.bodies == 0


async def test_a_thousand_small_parts_come_in_few_pieces(reads: FileReads, file: Path) -> None:
    parts: list[bytes | range] = [
        part for n in range(1000) for part in (b"head of a part", range(3000 * n, 3000 * n + 50))
    ]
    got = await Opened(reads, file, *parts).all()
    assert b"".join(got) == b"".join(b"head of a part" + CONTENT[3000 * n : 3000 * n + 50] for n in range(1000))
    assert len(got) <= 2


async def test_a_client_that_reads_fast_gets_large_pieces_and_a_slow_one_small_ones(
    reads: FileReads, file: Path, clock: Clock
) -> None:
    fast = Opened(reads, file, range(len(CONTENT)))
    clock.step = 0.01
    assert [len(await anext(fast.body)) // KIB for _ in range(6)] == [64, 128, 256, 512, 1024, 1024]
    clock.step = 1.0
    assert [len(await anext(fast.body)) // KIB for _ in range(5)] == [512, 256, 128, 64, 64]
    clock.step = 0.2
    assert [len(await anext(fast.body)) // KIB for _ in range(2)] == [64, 64]
    await fast.body.aclose()


async def test_many_bodies_share_the_memory_for_pieces(reads: FileReads, file: Path, clock: Clock) -> None:
    opened = [Opened(reads, file, range(len(CONTENT))) for _ in range(128)]
    sizes = [len(await anext(opened[0].body)) // KIB for _ in range(6)]
    assert sizes == [64, 128, 256, 256, 256, 256]
    for each in opened[1:]:
        await each.body.aclose()
    assert len(await anext(opened[0].body)) // KIB == 1024
    await opened[0].body.aclose()


async def test_pieces_that_the_http_server_holds_count(reads: FileReads, file: Path, clock: Clock) -> None:
    held = FileReads(reads.pool, held_pieces=8)
    opened = [Opened(held, file, range(len(CONTENT))) for _ in range(16)]
    sizes = [len(await anext(opened[0].body)) // KIB for _ in range(5)]
    assert sizes == [64, 128, 256, 256, 256]
    for each in opened:
        await each.body.aclose()


async def test_what_is_in_memory_needs_no_thread(reads: FileReads, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.read_bytes()
    monkeypatch.setattr(reads, "pool", None)
    assert b"".join(await Opened(reads, file, range(len(CONTENT))).all()) == CONTENT


async def test_a_body_that_is_in_memory_can_be_cancelled_though_nobody_waits_for_its_client(
    reads: FileReads, file: Path
) -> None:
    file.read_bytes()
    opened = Opened(reads, file, range(len(CONTENT)))
    reading = asyncio.ensure_future(opened.all())
    await asyncio.sleep(0)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert reading.cancelled()
    assert opened.sent < len(CONTENT)
    assert not opened.is_open


async def test_what_is_not_in_memory_is_read_by_a_thread(reads: FileReads, file: Path) -> None:
    evict(file)
    opened = Opened(reads, file, range(len(CONTENT)))
    free = threading.Event()
    blocker = reads.pool.run(free.wait)
    first = asyncio.ensure_future(anext(opened.body))
    await asyncio.sleep(0)
    assert not first.done()
    free.set()
    await blocker
    assert await first + b"".join(await opened.all()) == CONTENT


async def test_a_file_stays_open_until_the_thread_has_read_it(reads: FileReads, file: Path) -> None:
    evict(file)
    opened = Opened(reads, file, range(len(CONTENT)))
    free = threading.Event()
    blocker = reads.pool.run(free.wait)
    first = asyncio.ensure_future(anext(opened.body))
    await asyncio.sleep(0)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    await opened.body.aclose()
    await opened.body.aclose()
    assert opened.is_open
    free.set()
    await blocker
    await wait_until_async(lambda: opened.is_open, "the file to be closed", wanted=lambda is_open: not is_open)


@pytest.mark.parametrize("is_cached", [True, False])
async def test_a_file_that_ends_too_early_is_reported(reads: FileReads, file: Path, is_cached: bool) -> None:
    opened = Opened(reads, file, range(len(CONTENT)))
    await anext(opened.body)
    os.truncate(file, 100 * KIB)
    if not is_cached:
        evict(file)
    with pytest.raises(DomainError) as caught:
        await opened.all()
    assert caught.value.reason == "UNAVAILABLE"
    assert (opened.short, opened.sent) == (1, 64 * KIB)
    assert not opened.is_open
