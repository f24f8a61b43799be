"""How long a client is waited for. The clock is the test's own."""

import asyncio

import pytest

from svckit.pace import Pace, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock.now)
    return clock


async def let_pass(clock: Clock, patience: Patience, seconds: float) -> None:
    """Waits so long for the client, or as long as it is waited for."""
    async with patience.waiting():
        clock.now += seconds
        # The time-out is called by the loop, if it is due.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_byte_now_and_then_does_not_keep_a_body_open(clock: Clock) -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024))
    await let_pass(clock, patience, 40)
    patience.earn(1)
    with pytest.raises(TimeoutError):
        await let_pass(clock, patience, 40)


async def test_a_client_that_keeps_the_rate_may_go_on(clock: Clock) -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024))
    for _ in range(100):
        await let_pass(clock, patience, 50)
        patience.earn(50 * 1024)


async def test_a_fast_beginning_does_not_pay_for_a_slow_end(clock: Clock) -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024))
    patience.earn(1024**3)
    with pytest.raises(TimeoutError):
        await let_pass(clock, patience, 61)


async def test_the_longest_time_holds_for_the_fastest_client(clock: Clock) -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024, longest_seconds=100))
    await let_pass(clock, patience, 50)
    patience.earn(1024**2)
    with pytest.raises(TimeoutError):
        await let_pass(clock, patience, 51)


async def test_the_time_in_which_nobody_waits_for_the_client_does_not_count(clock: Clock) -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024))
    clock.now += 1000
    await let_pass(clock, patience, 59)


async def test_without_a_rate_every_byte_earns_all_of_the_time(clock: Clock) -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=0))
    for _ in range(10):
        await let_pass(clock, patience, 50)
        patience.earn(1)
    with pytest.raises(TimeoutError):
        await let_pass(clock, patience, 61)
