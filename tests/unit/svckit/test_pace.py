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

    async def act() -> None:
        await asyncio.sleep(0)
        clock.now += seconds
        # The time-out is called by the loop, if it is due.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await patience.wait_for(act())


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


async def test_what_is_done_at_once_uses_up_nothing_and_sets_no_timer(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "timeout_at", None)
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024))

    async def act() -> str:
        clock.now += 40
        return "done"

    for _ in range(3):
        assert await patience.wait_for(act()) == "done"


async def test_what_takes_several_steps_gives_its_result_and_its_error() -> None:
    patience = Patience(Pace(idle_seconds=60, least_bytes_per_second=1024))

    async def act(error: Exception | None) -> int:
        answer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(answer.set_result, 20)
        first: int = await answer
        await asyncio.sleep(0.001)
        if error is not None:
            raise error
        return first + 1

    assert await patience.wait_for(act(None)) == 21
    with pytest.raises(LookupError):
        await patience.wait_for(act(LookupError()))


@pytest.mark.parametrize("steps", [1, 2])
async def test_a_time_out_and_a_cancellation_reach_what_is_waited_for(steps: int) -> None:
    ended: list[str] = []

    async def act() -> None:
        try:
            if steps == 2:
                await asyncio.sleep(0)
            await asyncio.get_running_loop().create_future()
        finally:
            # It may wait itself, and is waited for.
            await asyncio.sleep(0.001)
            ended.append("act")

    with pytest.raises(TimeoutError):
        await Patience(Pace(idle_seconds=0.01, least_bytes_per_second=1)).wait_for(act())
    task = asyncio.create_task(Patience(Pace(idle_seconds=60, least_bytes_per_second=1)).wait_for(act()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["act", "act"]


async def test_a_cancellation_reaches_an_awaitable_that_has_no_throw() -> None:
    future = asyncio.get_running_loop().create_future()

    class Plain:
        """Has only what Python demands of an iterator, as awaitables that are made in Rust."""

        def __await__(self) -> "Plain":
            self.steps = future.__await__()
            return self

        def __iter__(self) -> "Plain":
            return self

        def __next__(self) -> object:
            return next(self.steps)

    with pytest.raises(TimeoutError):
        await Patience(Pace(idle_seconds=0.01, least_bytes_per_second=1)).wait_for(Plain())  # type: ignore[arg-type]
    assert future.cancelled()
