"""The reader that services use: it goes on, comes back, and begins anew when it must."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from roadstead.change.v1.change_pb2 import Change
from roadstead.meta.v1 import change_service_pb2 as pb
from svckit.change import LogPosition
from svckit.changes.reader import ChangeReader
from svckit.errors import error_for
from svckit.sql.database import Database
from tests.contract.svckit.changes.world import CHANGE, ChangeWorld, next_answer, numbered, serving
from tests.harness.waiting import wait_until_async


class Consumer:
    """Keeps everything in memory."""

    def __init__(self) -> None:
        self.kept: LogPosition | None = None
        self.begun: list[LogPosition] = []
        self.applied: list[int] = []
        self.failures: list[Exception] = []

    async def position(self) -> LogPosition | None:
        return self.kept

    async def begin(self, position: LogPosition) -> None:
        self._fail()
        self.begun.append(position)
        self.kept = position

    async def apply(self, changes: Sequence[Change], position: LogPosition) -> None:
        self._fail()
        self.applied += [change.revision for change in changes]
        self.kept = position

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


@asynccontextmanager
async def reading(world: ChangeWorld, consumer: Consumer, **fields: Any) -> AsyncIterator[ChangeReader]:
    def watch(request: pb.WatchRequest, **options: Any) -> Any:
        return world.stub.Watch(request, metadata=world.as_service(), **options)

    reader = ChangeReader(watch, pb.WatchRequest(**fields), consumer, first_pause_seconds=0.01)
    task = asyncio.create_task(reader.run())
    yield reader
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def kept(consumer: Consumer, revision: int) -> None:
    await wait_until_async(
        lambda: consumer.kept,
        f"revision {revision}",
        wanted=lambda position: position is not None and position.revision == revision,
    )


async def test_a_new_reader_reads_everything_first_and_then_what_changes(world: ChangeWorld) -> None:
    await world.write(*numbered(3))
    consumer = Consumer()
    async with reading(world, consumer) as reader:
        await kept(consumer, 3)
        assert [position.revision for position in consumer.begun] == [3]
        await world.write(CHANGE)
        await kept(consumer, 4)
        assert (consumer.applied, reader.position) == ([4], consumer.kept)
        assert reader.current_at is not None


async def test_a_reader_goes_on_from_what_it_has_kept(world: ChangeWorld) -> None:
    await world.write(*numbered(3))
    consumer = Consumer()
    position = await world.position(1)
    consumer.kept = LogPosition(epoch=position.epoch, revision=1)
    async with reading(world, consumer):
        await kept(consumer, 3)
    assert (consumer.begun, consumer.applied) == ([], [2, 3])


async def test_a_reader_of_something_else_moves_on_by_heartbeats(world: ChangeWorld) -> None:
    consumer = Consumer()
    async with reading(world, consumer, kinds=["tag_delete"], heartbeat_seconds=1):
        await kept(consumer, 0)
        await world.write(CHANGE, CHANGE)
        await kept(consumer, 2)
    assert consumer.applied == []


@pytest.mark.parametrize("case", ["compacted", "restored", "ahead"])
async def test_a_reader_that_cannot_go_on_begins_anew(world: ChangeWorld, case: str) -> None:
    await world.write(*numbered(5))
    consumer = Consumer()
    position = await world.position()
    consumer.kept = LogPosition(epoch=position.epoch, revision=9 if case == "ahead" else 2)
    if case == "compacted":
        await world.compact(4)
    if case == "restored":
        await world.renew_epoch()
    # The first attempt to read everything fails. It must not be forgotten then.
    consumer.failures.append(error_for("UNAVAILABLE"))
    async with reading(world, consumer):
        await wait_until_async(lambda: consumer.begun, "a new begin")
        await world.write(CHANGE)
        await kept(consumer, 6)
    assert ([begun.revision for begun in consumer.begun], consumer.applied) == ([5], [6])


async def test_a_reader_begins_anew_when_the_epoch_changes_under_it(world: ChangeWorld) -> None:
    consumer = Consumer()
    async with reading(world, consumer):
        await kept(consumer, 0)
        epoch = await world.renew_epoch()
        await wait_until_async(lambda: len(consumer.begun), "a second begin", wanted=lambda times: times == 2)
        assert consumer.begun[-1].epoch == epoch


async def test_a_consumer_that_fails_is_given_the_changes_again(world: ChangeWorld) -> None:
    consumer = Consumer()
    async with reading(world, consumer):
        await kept(consumer, 0)
        consumer.failures += [error_for("UNAVAILABLE"), error_for("STORAGE_FULL")]
        await world.write(*numbered(3))
        await kept(consumer, 3)
    assert consumer.applied == [1, 2, 3]


async def test_an_error_of_the_program_is_raised(world: ChangeWorld) -> None:
    consumer = Consumer()
    consumer.failures.append(ZeroDivisionError())
    reader = ChangeReader(
        lambda request, **options: world.stub.Watch(request, metadata=world.as_service(), **options),
        pb.WatchRequest(),
        consumer,
    )
    with pytest.raises(ZeroDivisionError):
        await reader.run()
    await wait_until_async(lambda: world.feed.readers == 0, "the end of the stream")


async def test_a_reader_comes_back_to_a_server_that_was_away(log_database: Database) -> None:
    consumer = Consumer()
    stubs: list[ChangeWorld] = []

    def watch(request: pb.WatchRequest, **options: Any) -> Any:
        return stubs[-1].stub.Watch(request, metadata=stubs[-1].as_service(), **options)

    reader = ChangeReader(watch, pb.WatchRequest(), consumer, first_pause_seconds=0.01)
    async with serving(log_database) as first:
        stubs.append(first)
        task = asyncio.create_task(reader.run())
        await kept(consumer, 0)
        await first.server.drain(0)
        await first.write(CHANGE)
        async with serving(log_database) as second:
            stubs.append(second)
            await kept(consumer, 1)
            await second.write(CHANGE)
            await kept(consumer, 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert consumer.applied == [1, 2]


async def test_a_server_that_says_nothing_any_more_is_called_again(
    world: ChangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    class Silent:
        """A stream in which nothing comes after the first answer."""

        def __init__(self, call: Any) -> None:
            self._call = call
            self._answers = 0

        async def read(self) -> Any:
            self._answers += 1
            return await next_answer(self._call) if self._answers == 1 else await asyncio.Event().wait()

        def cancel(self) -> bool:
            return bool(self._call.cancel())

    def watch(request: pb.WatchRequest, **options: Any) -> Any:
        call = world.stub.Watch(request, metadata=world.as_service(), **options)
        calls.append(call)
        return Silent(call) if len(calls) == 1 else call

    monkeypatch.setattr("svckit.changes.reader._SILENT_HEARTBEATS", 0.1)
    consumer = Consumer()
    reader = ChangeReader(watch, pb.WatchRequest(heartbeat_seconds=1), consumer, first_pause_seconds=0.01)
    task = asyncio.create_task(reader.run())
    await wait_until_async(lambda: len(calls), "a second stream", wanted=lambda count: count >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
