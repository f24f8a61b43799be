"""When reads gather, who goes with whom, and that nobody is held up or failed by another. The clock is the test's."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.clients.reads.gatherer import Gatherer
from gateway.clients.reads.metrics import ReadMetrics
from svckit.errors import DomainError, Unavailable

_CALLER: ContextVar[str] = ContextVar("caller", default="")


class Clock:
    """Stands still until a test moves it; calls back what has become due."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, Callable[..., object], asyncio.TimerHandle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, asyncio.get_running_loop())
        self._due.append((when, callback, handle))
        return handle

    @property
    def waiting(self) -> int:
        return sum(not handle.cancelled() for _, _, handle in self._due)

    def move(self, seconds: float) -> None:
        self.now += seconds
        due = [entry for entry in self._due if entry[0] <= self.now]
        self._due = [entry for entry in self._due if entry[0] > self.now]
        for _, callback, handle in due:
            if not handle.cancelled():
                callback()


class Metasvc:
    """The other end. Each batch waits until the test answers it."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], asyncio.Future[list[str]]]] = []
        self.timeouts: list[float | None] = []
        self.callers: list[str] = []
        self.cancelled: list[list[str]] = []

    async def send(self, keys: Sequence[str], seconds: float | None) -> Sequence[str]:
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self.batches.append((list(keys), answer))
        self.timeouts.append(seconds)
        self.callers.append(_CALLER.get())
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled.append(list(keys))
            raise

    @property
    def sent(self) -> list[list[str]]:
        return [keys for keys, _ in self.batches]

    def answer(self, number: int) -> None:
        keys, answer = self.batches[number]
        answer.set_result([f"answer to {key} in batch {number}" for key in keys])

    def fail(self, number: int, error: Exception) -> None:
        self.batches[number][1].set_exception(error)


async def settle() -> None:
    """Lets every task go on until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class House:
    def __init__(self, **bounds: Any) -> None:
        self.clock = Clock()
        self.metasvc = Metasvc()
        self.registry = CollectorRegistry()
        metrics = ReadMetrics(self.registry).batches["manifests"]
        self.gatherer: Gatherer[str, str] = Gatherer(self.metasvc.send, metrics, clock=self.clock, **bounds)
        self.reads: dict[str, asyncio.Task[str]] = {}

    async def read(self, *keys: str, size_bytes: int = 100, deadline: float | None = None) -> None:
        """Reads arrive, in this order."""
        for key in keys:
            self.reads[key] = asyncio.create_task(self.gatherer.ask(key, size_bytes, deadline))
        await settle()

    def answered(self) -> dict[str, str]:
        return {key: read.result() for key, read in self.reads.items() if read.done() and not read.cancelled()}

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"kind": "manifests", **labels})


@pytest.fixture
def unnoticed() -> Iterator[list[Any]]:
    """What asyncio complains about, such as an error that nobody has seen."""
    complaints: list[Any] = []
    yield complaints
    gc.collect()
    assert complaints == []


@pytest.fixture
async def house(unnoticed: list[Any]) -> House:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))
    return House()


async def test_a_lone_read_waits_for_nobody(house: House) -> None:
    await house.read("a")

    assert house.metasvc.sent == [["a"]]
    assert house.clock.waiting == 0
    house.metasvc.answer(0)
    await settle()
    assert house.answered() == {"a": "answer to a in batch 0"}

    # The next one neither.
    await house.read("b")
    assert house.metasvc.sent == [["a"], ["b"]]
    house.metasvc.answer(1)
    await settle()


async def test_reads_that_arrive_while_one_is_under_way_go_together_in_the_next(house: House) -> None:
    await house.read("a")
    await house.read("b", "c")
    await house.read("d")
    assert house.metasvc.sent == [["a"]]

    house.metasvc.answer(0)
    await settle()

    assert house.metasvc.sent == [["a"], ["b", "c", "d"]]
    house.metasvc.answer(1)
    await settle()
    assert house.answered() == {
        "a": "answer to a in batch 0",
        "b": "answer to b in batch 1",
        "c": "answer to c in batch 1",
        "d": "answer to d in batch 1",
    }
    assert house.clock.waiting == 0


async def test_a_batch_under_way_is_never_joined(house: House) -> None:
    """The same key, asked again while its batch is under way, is asked again of metasvc."""
    await house.read("a")
    first = house.reads["a"]
    await house.read("a")
    house.metasvc.answer(0)
    await settle()

    assert first.result() == "answer to a in batch 0"
    assert not house.reads["a"].done()
    assert house.metasvc.sent == [["a"], ["a"]]
    house.metasvc.answer(1)
    await settle()
    assert house.reads["a"].result() == "answer to a in batch 1"


async def test_a_batch_of_fifty_milliseconds_holds_up_nobody_any_more(house: House) -> None:
    await house.read("slow")
    await house.read("b")
    house.clock.move(0.049)
    await settle()
    assert house.metasvc.sent == [["slow"]]

    house.clock.move(0.001)
    await settle()

    assert house.metasvc.sent == [["slow"], ["b"]]
    house.metasvc.answer(1)
    await settle()
    assert house.answered() == {"b": "answer to b in batch 1"}
    # Its own members wait for it, as long as they would have waited alone.
    house.metasvc.answer(0)
    await settle()
    assert house.answered()["slow"] == "answer to slow in batch 0"
    assert house.metric("gateway_read_batches_overtaken_total") == 1


async def test_a_read_that_finds_an_old_batch_is_sent_at_once(house: House) -> None:
    await house.read("slow")
    house.clock.move(0.05)

    await house.read("b")

    assert house.metasvc.sent == [["slow"], ["b"]]
    assert house.metric("gateway_read_batches_overtaken_total") == 1
    house.metasvc.answer(0)
    house.metasvc.answer(1)
    await settle()


async def test_the_end_of_an_overtaken_batch_starts_nothing(house: House) -> None:
    await house.read("slow")
    house.clock.move(0.05)
    await house.read("b")
    await house.read("c")

    house.metasvc.answer(0)
    await settle()

    # "c" waits for the batch of "b".
    assert house.metasvc.sent == [["slow"], ["b"]]
    house.metasvc.answer(1)
    await settle()
    assert house.metasvc.sent[2:] == [["c"]]
    house.metasvc.answer(2)
    await settle()


async def test_while_a_replica_is_dead_a_batch_goes_every_fifty_milliseconds(house: House) -> None:
    await house.read("a")
    for number, key in enumerate("bcde"):
        await house.read(key)
        house.clock.move(0.05)
        await settle()
        assert house.metasvc.sent[number + 1] == [key]
    for number in range(5):
        house.metasvc.fail(number, Unavailable())
    await settle()

    await house.read("f")
    house.metasvc.answer(5)
    await settle()
    assert house.reads["f"].result() == "answer to f in batch 5"
    assert {type(house.reads[key].exception()) for key in "abcde"} == {Unavailable}


async def test_a_batch_is_bounded_in_members() -> None:
    house = House(most_members=3)
    await house.read("a")
    await house.read(*"bcdefgh")

    house.metasvc.answer(0)
    await settle()
    assert house.metasvc.sent[1:] == [["b", "c", "d"]]
    house.metasvc.answer(1)
    await settle()
    assert house.metasvc.sent[2:] == [["e", "f", "g"]]
    # Those who are left over do not wait for a batch that has become old either.
    house.clock.move(0.05)
    await settle()
    assert house.metasvc.sent[3:] == [["h"]]
    house.metasvc.answer(2)
    house.metasvc.answer(3)
    await settle()
    assert set(house.answered()) == set("abcdefgh")


async def test_a_batch_is_bounded_in_bytes_and_a_larger_read_goes_alone() -> None:
    house = House(most_bytes=250)
    await house.read("a")
    await house.read(*"bcd")
    await house.read("large", size_bytes=1000)
    await house.read("e")

    for number, expected in enumerate((["a"], ["b", "c"], ["d"], ["large"], ["e"])):
        assert house.metasvc.sent[number] == expected
        house.metasvc.answer(number)
        await settle()
    assert len(house.metasvc.sent) == 5


async def test_a_read_that_is_cancelled_while_it_waits_is_not_sent(house: House) -> None:
    await house.read("a")
    await house.read("b", "c")
    house.reads["b"].cancel()
    await settle()

    house.metasvc.answer(0)
    await settle()

    assert house.metasvc.sent == [["a"], ["c"]]
    house.metasvc.answer(1)
    await settle()
    assert set(house.answered()) == {"a", "c"}


async def test_when_all_who_wait_are_cancelled_nothing_is_sent(house: House) -> None:
    await house.read("a")
    await house.read("b", "c")
    for key in "bc":
        house.reads[key].cancel()
    await settle()
    house.metasvc.answer(0)
    await settle()

    assert house.metasvc.sent == [["a"]]
    assert house.clock.waiting == 0
    await house.read("d")
    assert house.metasvc.sent == [["a"], ["d"]]
    house.metasvc.answer(1)
    await settle()


async def test_a_member_that_is_cancelled_under_way_leaves_the_others_alone(house: House) -> None:
    await house.read("a")
    await house.read("b", "c")
    house.metasvc.answer(0)
    await settle()

    house.reads["b"].cancel()
    await settle()
    assert house.metasvc.cancelled == []
    house.metasvc.answer(1)
    await settle()

    assert set(house.answered()) == {"a", "c"}


async def test_a_batch_whose_members_are_all_cancelled_is_cancelled_and_the_next_one_goes(house: House) -> None:
    await house.read("a")
    await house.read("b", "c")
    house.metasvc.answer(0)
    await settle()
    await house.read("d")

    for key in "bc":
        house.reads[key].cancel()
    await settle()

    assert house.metasvc.cancelled == [["b", "c"]]
    assert house.metasvc.sent == [["a"], ["b", "c"], ["d"]]
    house.metasvc.answer(2)
    await settle()
    assert set(house.answered()) == {"a", "d"}


async def test_a_read_that_is_cancelled_as_soon_as_it_is_sent_holds_up_nobody(house: House) -> None:
    read = asyncio.create_task(house.gatherer.ask("a", 100, None))
    await asyncio.sleep(0)
    read.cancel()
    await house.read("b", deadline=0.0)
    assert isinstance(house.reads["b"].exception(), Unavailable)

    await house.read("c")

    assert house.metasvc.cancelled == [["a"]]
    assert house.metasvc.sent == [["a"], ["c"]]
    house.metasvc.answer(1)
    await settle()
    assert house.reads["c"].result() == "answer to c in batch 1"


async def test_a_read_that_is_cancelled_as_its_batch_fails_leaves_no_unseen_error(house: House) -> None:
    await house.read("a")
    house.metasvc.fail(0, Unavailable())
    # The future of the read has its error two steps later; the task of the read has not gone on by then.
    while not house.metasvc.batches[0][1].done():
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    house.reads["a"].cancel()
    await settle()

    assert house.reads["a"].cancelled() or isinstance(house.reads["a"].exception(), Unavailable)
    house.reads.clear()


async def test_each_member_of_a_failed_batch_raises_an_error_of_its_own(house: House) -> None:
    await house.read("a")
    await house.read("b", "c")
    house.metasvc.answer(0)
    await settle()
    house.metasvc.fail(1, Unavailable(message="gone", metadata={"k": "v"}, retry_after_seconds=3))
    await settle()

    errors = [house.reads[key].exception() for key in "bc"]
    assert errors[0] is not errors[1]
    for error in errors:
        assert isinstance(error, DomainError)
        assert (error.reason, error.message, error.metadata, error.retry_after_seconds) == (
            "UNAVAILABLE",
            "gone",
            {"k": "v"},
            3,
        )
    # The next batch is sent as ever.
    await house.read("d")
    house.metasvc.answer(2)
    await settle()
    assert "d" in {key for key, read in house.reads.items() if read.exception() is None}


async def test_each_member_has_its_own_deadline_and_the_batch_that_of_the_last(house: House) -> None:
    await house.read("a")
    now = asyncio.get_running_loop().time()
    await house.read("soon", deadline=now + 0.02)
    await house.read("late", deadline=now + 100)
    house.metasvc.answer(0)
    await settle()
    timeout = house.metasvc.timeouts[1]
    assert timeout is not None
    assert 90 < timeout <= 100

    with pytest.raises(Unavailable):
        await house.reads["soon"]

    assert not house.reads["late"].done()
    house.metasvc.answer(1)
    assert await house.reads["late"] == "answer to late in batch 1"
    assert house.metasvc.timeouts[0] is None


async def test_a_batch_is_sent_in_nobodys_name(house: House) -> None:
    """With the token or the deadline of its first member, metasvc would judge the whole batch by it."""
    _CALLER.set("somebody")
    await house.read("a")

    assert house.metasvc.callers == [""]
    house.metasvc.answer(0)
    await settle()


async def test_sizes_and_ages_are_measured(house: House) -> None:
    await house.read("a")
    await house.read("b", "c", "d")
    house.clock.move(0.004)
    house.metasvc.answer(0)
    await settle()
    house.clock.move(0.02)
    house.metasvc.answer(1)
    await settle()

    assert house.metric("gateway_read_batch_members_count") == 2
    assert house.metric("gateway_read_batch_members_sum") == 4
    assert house.metric("gateway_read_batch_seconds_sum") == pytest.approx(0.024)
