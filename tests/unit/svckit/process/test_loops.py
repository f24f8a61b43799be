"""Background work goes on for as long as its service, whatever becomes of one round."""

import asyncio
import logging

import pytest

from svckit.errors import Unavailable
from svckit.metrics import Metrics
from svckit.process.loops import Loops


class Work:
    """Counts its rounds, and fails in some of them."""

    def __init__(self, *failures: Exception) -> None:
        self.rounds = 0
        self.enough = asyncio.Event()
        self._failures = list(failures)

    async def __call__(self) -> None:
        self.rounds += 1
        if self._failures:
            raise self._failures.pop(0)
        self.enough.set()


async def test_a_round_that_failed_is_logged_and_counted_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics("mailsvc")
    loops = Loops(metrics)
    work = Work(Unavailable(message="no database"), RuntimeError("a bug"))
    loops.every(0.001, "send_mail", work)

    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(10), loops.running():
            await work.enough.wait()

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert b'background_failures_total{service="mailsvc",work="send_mail"} 2.0' in metrics.render()


async def test_work_is_cancelled_at_the_end_and_waited_for() -> None:
    loops = Loops(Metrics("mailsvc"))
    started, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    loops.every(1.0, "watch", endless)
    async with asyncio.timeout(10), loops.running():
        await started.wait()

    assert ended.is_set()


async def test_endless_work_that_breaks_is_started_again() -> None:
    loops = Loops(Metrics("mailsvc"))
    starts: asyncio.Queue[None] = asyncio.Queue()

    async def breaking() -> None:
        starts.put_nowait(None)
        raise ConnectionError

    loops.every(0.001, "watch", breaking)
    async with asyncio.timeout(10), loops.running():
        await starts.get()
        await starts.get()


async def test_what_was_gathered_is_written_once_more_at_the_end() -> None:
    loops = Loops(Metrics("mailsvc"))
    gathered, idle = Work(), Work()
    loops.every(1000.0, "record", gathered, waits_first=True, has_last_round=True)
    loops.every(1000.0, "sweep", idle, waits_first=True)

    async with loops.running():
        await asyncio.sleep(0)

    assert (gathered.rounds, idle.rounds) == (1, 0)


async def test_a_last_round_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.process.loops._LAST_ROUND_SECONDS", 0.01)
    loops = Loops(Metrics("mailsvc"))

    async def hanging() -> None:
        await asyncio.Event().wait()

    loops.every(1000.0, "record", hanging, waits_first=True, has_last_round=True)
    async with asyncio.timeout(10), loops.running():
        pass
