"""A service looks at what it needs while it serves, and says what is away, and that it is back."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from svckit.metrics import Metrics
from svckit.process.needs import Needs
from svckit.rpc.server import RpcServer

MIB = 1024 * 1024


class Told:
    """Stands in for a server: what it was told last."""

    def __init__(self) -> None:
        self.away: tuple[str, ...] = ()
        self.is_full = False

    def set_condition(self, *, away: tuple[str, ...], is_full: bool) -> None:
        self.away, self.is_full = away, is_full


class Watched:
    """Needs, and what a server hears of them."""

    def __init__(self) -> None:
        self.metrics = Metrics("mailsvc")
        self.needs = Needs(self.metrics)
        self.told = Told()

    async def look(self) -> tuple[tuple[str, ...], bool]:
        await self.needs.look(cast("RpcServer", self.told))
        return self.told.away, self.told.is_full

    def shown(self, need: str) -> float | None:
        return self.metrics.registry.get_sample_value("need_ok", {"service": "mailsvc", "need": need})


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    watched.needs.close()


async def test_what_is_away_is_named_until_it_is_back(watched: Watched) -> None:
    errors: list[Exception] = []

    async def ask() -> None:
        if errors:
            raise errors[0]

    watched.needs.require("database", ask)
    assert await watched.look() == ((), False)
    errors.append(ConnectionRefusedError("at 10.0.0.7"))
    assert await watched.look() == (("database",), False)
    assert watched.shown("database") == 0
    errors.clear()
    assert await watched.look() == ((), False)
    assert watched.shown("database") == 1


async def test_two_looks_at_once_share_one_check(watched: Watched) -> None:
    """The look of the start, and the first of the loop."""
    asked = 0
    answer = asyncio.Event()

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await answer.wait()

    watched.needs.require("database", ask)
    looks = asyncio.gather(watched.look(), watched.look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answer.set()
    assert [*await looks] == [((), False), ((), False)]
    assert asked == 1
    assert await watched.look() == ((), False)
    assert asked == 2


async def test_each_change_is_logged_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    there = [True, False, False, True, True]

    async def ask() -> None:
        if not there.pop(0):
            raise ConnectionRefusedError

    watched.needs.require("database", ask)
    with caplog.at_level("INFO"):
        while there:
            await watched.look()

    events = [cast("dict[str, Any]", record.msg)["event"] for record in caplog.records]
    assert events == ["need_lost", "need_is_back"]


async def test_a_look_that_hangs_counts_as_away_and_is_not_repeated_until_it_ends(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svckit.process.needs.LOOK_SECONDS", 0.02)
    answered = asyncio.Event()
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        while not answered.is_set():
            try:
                await answered.wait()
            except asyncio.CancelledError:
                continue  # as a driver that waits for its server whatever happens

    watched.needs.require("database", ask)
    assert await watched.look() == (("database",), False)
    assert await watched.look() == (("database",), False)
    assert asked == 1
    answered.set()
    assert await watched.look() == ((), False)


async def test_a_disk_that_hangs_takes_one_thread(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.process.needs.LOOK_SECONDS", 0.02)
    answered = threading.Event()
    threads: set[int] = set()

    def look() -> None:
        threads.add(threading.get_ident())
        answered.wait(10)

    watched.needs.require_files("blob store", look)
    for _ in range(3):
        assert await watched.look() == (("blob store",), False)
    answered.set()
    monkeypatch.setattr("svckit.process.needs.LOOK_SECONDS", 10.0)
    await watched.look()
    assert await watched.look() == ((), False)
    assert len(threads) == 1


class Disk:
    """Stands in for the disk below a folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_bytes = 10 * MIB
        self.free_files = 1000
        monkeypatch.setattr(os, "statvfs", self.statvfs)

    def statvfs(self, _folder: Path) -> os.statvfs_result:
        # bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax
        free = self.free_bytes // 4096
        return os.statvfs_result((4096, 4096, 10**6, free, free, 10**6, self.free_files, self.free_files, 0, 255))


async def test_a_disk_below_its_reserve_is_full_and_nothing_is_away(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(monkeypatch)
    watched.needs.keep_free(tmp_path, 10 * MIB)
    assert await watched.look() == ((), False)
    disk.free_bytes -= 4096
    assert await watched.look() == ((), True)
    assert watched.shown("disk") == 0
    # A little room is not enough: it would be gone with the next upload.
    disk.free_bytes = 11 * MIB
    assert await watched.look() == ((), True)
    disk.free_bytes = 13 * MIB
    assert await watched.look() == ((), False)
    assert watched.shown("disk") == 1


async def test_a_disk_without_room_for_files_is_full(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(monkeypatch)
    watched.needs.keep_free(tmp_path, 0)
    disk.free_files = 3
    assert await watched.look() == ((), True)


async def test_a_real_disk_can_be_asked(watched: Watched, tmp_path: Path) -> None:
    watched.needs.keep_free(tmp_path, 0)
    watched.needs.keep_free(tmp_path / "nowhere", 10**18)
    assert await watched.look() == ((), False)
    watched.needs.keep_free(tmp_path, 10**18)
    assert await watched.look() == ((), True)
