"""When reads stop to wait, and that one timer does it for all of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from gateway.clients.reads.deadlines import Deadlines


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """The timers that are set from now on."""
    loop = asyncio.get_running_loop()
    call_at, made = loop.call_at, []

    def noted(when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        made.append(call_at(when, callback, *args))
        return made[-1]

    monkeypatch.setattr(loop, "call_at", noted)
    return made


def _future() -> asyncio.Future[str]:
    return asyncio.get_running_loop().create_future()


async def test_one_timer_is_set_for_a_thousand_reads(timers: list[asyncio.TimerHandle]) -> None:
    deadlines, now = Deadlines(), asyncio.get_running_loop().time()

    for number in range(1000):
        answer = _future()
        deadlines.watch(answer, now + 30 + number / 1000)
        deadlines.forget(answer)

    assert [timer.when() for timer in timers] == [now + 30]


async def test_each_read_waits_until_its_own_deadline(timers: list[asyncio.TimerHandle]) -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    began = loop.time()
    answers = {seconds: _future() for seconds in (0.06, 0.02, 0.04, 100.0)}
    for seconds, answer in answers.items():
        deadlines.watch(answer, began + seconds)

    for seconds in (0.02, 0.04, 0.06):
        with pytest.raises(TimeoutError, match="a read has no answer by its deadline"):
            await answers[seconds]
        assert loop.time() >= began + seconds
        deadlines.forget(answers[seconds])

    assert not answers[100.0].done()
    # The first one was set for the first read, and put off for one that ends sooner. Then each look sets the next one,
    # and a late look serves several reads.
    assert [round(timer.when() - began, 2) for timer in timers[:2]] == [0.06, 0.02]
    assert [timer.cancelled() for timer in timers[:2]] == [True, False]
    assert round(timers[-1].when() - began, 2) == 100.0
    assert len(timers) <= 5
    timers[-1].cancel()


async def test_an_answer_that_has_come_stays(timers: list[asyncio.TimerHandle]) -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    early, late = _future(), _future()
    deadlines.watch(early, loop.time())
    deadlines.watch(late, loop.time())
    early.set_result("in time")

    with pytest.raises(TimeoutError, match="a read"):
        await late

    assert early.result() == "in time"
    assert len(timers) == 1


async def test_a_deadline_in_the_past_ends_the_waiting_at_once() -> None:
    deadlines, answer = Deadlines(), _future()
    deadlines.watch(answer, 0.0)
    with pytest.raises(TimeoutError, match="a read"):
        async with asyncio.timeout(10):
            await answer
    assert answer.done()


def test_uvloop_does_not_look_again_and_again_until_a_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []
    look = Deadlines._look

    def noted(deadlines: Deadlines) -> None:
        looks.append(None)
        look(deadlines)

    async def wait() -> None:
        deadlines, now = Deadlines(), asyncio.get_running_loop().time()
        answers = [_future() for _ in range(50)]
        for number, answer in enumerate(answers):
            # Not whole milliseconds, which uvloop counts in.
            deadlines.watch(answer, now + 0.01 + number * 0.00137)
        await asyncio.gather(*answers, return_exceptions=True)

    monkeypatch.setattr(Deadlines, "_look", noted)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(wait())
    # Each may be a little early once.
    assert len(looks) <= 2 * 50
