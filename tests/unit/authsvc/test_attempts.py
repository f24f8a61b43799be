import asyncio

import pytest

from authsvc.domain.attempts import MAXIMUM_REMEMBERED, WAITING_IN_ALL, WAITING_PER_ADDRESS, Attempts
from svckit.errors import DomainError

HOME = "192.0.2.1"
OFFICE = "192.0.2.2"


class Time:
    """Passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def attempts(time: Time) -> Attempts:
    return Attempts(1.0, 8.0, clock=time.clock, sleep=time.sleep)


async def attempt(
    attempts: Attempts, time: Time, name: str, address: str, *, right: bool = False
) -> tuple[float, float]:
    """How long a try waits before it is looked at, and how long until its refusal."""
    start = time.now
    async with attempts.admit(name, address):
        before = time.now - start
    start = time.now
    if right:
        attempts.succeeded(name, address)
    else:
        await attempts.failed(name, address)
    return before, time.now - start


async def test_each_failure_from_an_address_makes_the_next_try_wait_longer_to_a_limit(
    attempts: Attempts, time: Time
) -> None:
    waits = [(await attempt(attempts, time, "alice", HOME))[0] for _ in range(7)]
    assert waits == [0, 1, 2, 4, 8, 8, 8]


async def test_the_owner_comes_in_at_once_from_elsewhere(attempts: Attempts, time: Time) -> None:
    for _ in range(50):
        await attempt(attempts, time, "alice", HOME)
    assert await attempt(attempts, time, "alice", OFFICE, right=True) == (0, 0)


async def test_a_success_forgives_the_name_there_and_not_the_address(attempts: Attempts, time: Time) -> None:
    for _ in range(4):
        await attempt(attempts, time, "alice", HOME)
    await attempt(attempts, time, "alice", HOME, right=True)
    assert (await attempt(attempts, time, "alice", HOME))[0] == 0
    # A guesser with an account of his own goes through many names.
    for number in range(20):
        await attempt(attempts, time, f"user{number}", HOME)
        await attempt(attempts, time, "guesser", HOME, right=True)
    assert (await attempt(attempts, time, "bob", HOME))[0] == 8


async def test_guessing_one_name_from_many_addresses_delays_the_refusals(attempts: Attempts, time: Time) -> None:
    delays = [(await attempt(attempts, time, "alice", f"198.51.100.{number}"))[1] for number in range(10)]
    assert delays == [0, 0, 0, 0, 1, 2, 4, 8, 8, 8]


async def test_old_failures_are_forgiven(attempts: Attempts, time: Time) -> None:
    for _ in range(4):
        await attempt(attempts, time, "alice", HOME)
    time.now += 901
    assert await attempt(attempts, time, "alice", HOME) == (0, 0)


async def test_memory_is_bounded(attempts: Attempts, time: Time) -> None:
    for number in range(MAXIMUM_REMEMBERED):
        await attempt(attempts, time, f"user{number}", f"address{number}")
    assert len(attempts._counts) == MAXIMUM_REMEMBERED


async def waiting(attempts: Attempts, name: str, address: str) -> None:
    async with attempts.admit(name, address):
        pass


async def test_few_wait_at_once_and_the_others_are_turned_away(time: Time) -> None:
    released = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await released.wait()

    attempts = Attempts(1.0, 8.0, clock=time.clock, sleep=sleep)
    addresses = [f"203.0.113.{number}" for number in range(WAITING_IN_ALL)]
    for address in addresses:
        await attempts.failed("alice" + address, address)
    tasks = [
        asyncio.create_task(waiting(attempts, "alice" + address, address))
        for address in addresses[:2]
        for _ in range(WAITING_PER_ADDRESS)
    ]
    await asyncio.sleep(0)
    with pytest.raises(DomainError) as caught:
        await waiting(attempts, "alice" + addresses[0], addresses[0])
    assert caught.value.reason == "TOOMANYREQUESTS"
    assert (caught.value.retry_after_seconds or 0) >= 1
    tasks += [
        asyncio.create_task(waiting(attempts, "alice" + address, address))
        for address in addresses[2 : 2 + WAITING_IN_ALL - len(tasks)]
    ]
    await asyncio.sleep(0)
    with pytest.raises(DomainError):
        await waiting(attempts, "alice" + addresses[-1], addresses[-1])
    # Who has failed nowhere needs no place.
    await waiting(attempts, "alice", HOME)
    released.set()
    await asyncio.gather(*tasks)
    await waiting(attempts, "alice" + addresses[0], addresses[0])
    assert not attempts._waiting
