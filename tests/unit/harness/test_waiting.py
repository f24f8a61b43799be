from concurrent.futures import Future

import pytest

from tests.harness.waiting import WaitTimeoutError, pause_seconds, result_of, wait_until, wait_until_async


def test_what_is_wanted_is_returned_when_it_is_seen() -> None:
    seen = iter([0, 1, 2, 3])
    assert wait_until(lambda: next(seen), "a two", wanted=lambda number: number == 2) == 2


async def test_what_is_wanted_may_be_seen_by_a_coroutine_or_a_function() -> None:
    seen = iter(["", "here", "", "there"])

    async def look() -> str:
        return next(seen)

    assert await wait_until_async(look, "a word") == "here"
    assert await wait_until_async(lambda: next(seen), "a word") == "there"


def test_who_waits_in_vain_is_told_what_was_seen_last_and_more() -> None:
    with pytest.raises(WaitTimeoutError, match=r"in vain for a one; last seen: 0\nthe log"):
        wait_until(lambda: 0, "a one", seconds=0.02, more=lambda: "the log")


async def test_the_asynchronous_form_gives_up_in_the_same_way() -> None:
    with pytest.raises(WaitTimeoutError, match="in vain for a one; last seen: 0"):
        await wait_until_async(lambda: 0, "a one", seconds=0.02)


def test_what_cannot_come_any_more_is_not_waited_for() -> None:
    exit_codes = iter([None, 1])
    with pytest.raises(WaitTimeoutError, match="cannot come any more: 1; last seen: False"):
        wait_until(lambda: False, "it to serve", failure=lambda: next(exit_codes))


def test_who_waits_in_vain_for_work_is_told_what_it_was() -> None:
    never: Future[int] = Future()
    with pytest.raises(WaitTimeoutError, match="in vain for the answer"):
        result_of(never, "the answer", seconds=0.01)


def test_work_that_has_ended_gives_its_result_or_its_own_error() -> None:
    work: Future[int] = Future()
    work.set_result(7)
    assert result_of(work, "a number") == 7
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        result_of(failed, "a number")


def test_a_long_wait_looks_less_often() -> None:
    assert [pause_seconds(waited) for waited in (0, 0.2, 1, 3, 60)] == [0.005, 0.005, 0.02, 0.06, 0.1]
