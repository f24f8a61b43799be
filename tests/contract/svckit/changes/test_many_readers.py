"""No reader loses a change, whatever readers and writers do."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest

from metasvc.domain.model import ChangeKind
from metasvc.store.tables import CHANGES
from roadstead.change.v1.change_pb2 import LogPosition as Position
from svckit.change import Change
from svckit.sql.changes import SqlChanges
from svckit.sql.database import Database
from tests.contract.svckit.changes.world import (
    CHANGE,
    PATIENCE_SECONDS,
    ChangeWorld,
    next_answer,
    numbered,
    read_revisions,
)
from tests.harness.databases import open_database
from tests.harness.waiting import wait_until_async

DROPS = 1000
READERS = 100


async def test_a_reader_that_drops_its_connection_a_thousand_times_misses_nothing(world: ChangeWorld) -> None:
    chance = random.Random(5)
    position = await world.position()
    seen: list[int] = []
    writing = True

    async def write() -> None:
        while writing:
            await world.write(*numbered(chance.randint(1, 5)))
            await asyncio.sleep(chance.choice((0, 0, 0.002)))

    async def drop(call: Any) -> None:
        await asyncio.sleep(chance.choice((0, 0.001, 0.003, 0.01)))
        call.cancel()

    async def read_until_dropped() -> None:
        """Reads until the connection is gone. It is cut at any moment, also before the first answer."""
        nonlocal position
        call = world.watch(position, heartbeat_seconds=1)
        cut = asyncio.create_task(drop(call))
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                seen.extend(change.revision for change in answer.changes)
                position = answer.position
        except asyncio.CancelledError:
            # This is how a call that was cancelled ends here.
            assert call.cancelled()
        finally:
            await cut

    writer = asyncio.create_task(write())
    for _ in range(DROPS):
        await read_until_dropped()
    writing = False
    await writer
    newest = (await world.position()).revision
    if newest > position.revision:
        seen += await read_revisions(world.watch(position), newest - position.revision)
    assert seen == list(range(1, newest + 1))
    assert newest > DROPS / 2


async def test_a_hundred_readers_at_once_see_every_change_in_order(world: ChangeWorld) -> None:
    await world.write(*numbered(300))
    start = await world.position(0)
    # Some begin in the past, some now, and some want only a part.
    every = [world.watch(start) for _ in range(READERS // 2)]
    some = [world.watch(start, kinds=["tag_delete"]) for _ in range(READERS // 4)]
    new = [world.watch() for _ in range(READERS // 4)]
    for call in new:
        await next_answer(call)
    deleted = replace(CHANGE, kind=ChangeKind.TAG_DELETE)

    async def write() -> None:
        for _ in range(50):
            await world.write(CHANGE, deleted)

    reads = [read_revisions(call, 400) for call in every]
    reads += [read_revisions(call, 50) for call in some]
    reads += [read_revisions(call, 100) for call in new]
    _, *seen = await asyncio.gather(write(), *reads)

    assert seen[: len(every)] == [list(range(1, 401))] * len(every)
    assert seen[len(every) : len(every) + len(some)] == [list(range(302, 401, 2))] * len(some)
    assert seen[len(every) + len(some) :] == [list(range(301, 401))] * len(new)
    assert world.feed.readers == READERS


async def test_a_hundred_readers_cost_one_query_for_each_commit(
    world: ChangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [world.watch() for _ in range(READERS)]
    for call in calls:
        await next_answer(call)
    reads = 0
    read = SqlChanges.read

    async def counted(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(self, *args, **options)

    # By now all of them wait for the feed.
    await world.write(CHANGE)
    await asyncio.gather(*(read_revisions(call, 1) for call in calls))
    monkeypatch.setattr(SqlChanges, "read", counted)
    for _ in range(10):
        await world.write(CHANGE)
        await asyncio.gather(*(read_revisions(call, 1) for call in calls))
    # On PostgreSQL, the feed also looks now and then by itself.
    assert reads < READERS


async def test_a_reader_that_does_not_read_holds_up_nobody_and_gets_everything_later(world: ChangeWorld) -> None:
    # 30 MiB, of which the process may keep little.
    large = replace(CHANGE, kind=ChangeKind.REPOSITORY_UPDATE, new={"description": "x" * 30_000})
    slow, fast = world.watch(), world.watch()
    await next_answer(slow)
    await next_answer(fast)
    for number in range(1, 1001, 10):
        await world.write(*[large] * 10)
        assert await read_revisions(fast, 10) == list(range(number, number + 10))
        assert world.feed.kept_bytes < 8 * 1024 * 1024
    assert await read_revisions(slow, 1000) == list(range(1, 1001))


@asynccontextmanager
async def other_process(database_url: str) -> AsyncIterator[Database]:
    """The same database, as another replica has it."""
    database = await open_database(database_url)
    yield database
    await database.close()


async def append(database: Database, *changes: Change[ChangeKind]) -> int:
    async with database.write() as conn:
        revision = await CHANGES.append(conn, changes)
        await conn.commit()
    return revision


@pytest.fixture
def postgresql(world: ChangeWorld) -> None:
    if world.database.dialect != "postgresql":
        pytest.skip("SQLite has one process and one writer")


@pytest.mark.usefixtures("postgresql")
async def test_what_another_replica_commits_is_sent_within_a_second(world: ChangeWorld, database_url: str) -> None:
    call = world.watch()
    await next_answer(call)
    async with other_process(database_url) as other:
        for number in range(1, 6):
            await append(other, CHANGE)
            async with asyncio.timeout(1):
                assert await read_revisions(call, 1) == [number]


@pytest.mark.usefixtures("postgresql")
async def test_overlapping_transactions_lose_no_change_for_any_reader(world: ChangeWorld, database_url: str) -> None:
    start = await world.position(0)
    calls = [world.watch(start, heartbeat_seconds=1) for _ in range(20)]
    chance = random.Random(3)

    async with other_process(database_url) as other, other.write() as held:
        # A transaction that is older than all others, and commits last.
        await held.execute(CHANGES.changes.select())

        async def write(number: int) -> None:
            database = (world.database, other)[number % 2]
            for _ in range(25):
                async with database.write() as conn:
                    await conn.execute(CHANGES.changes.select().limit(1))
                    await asyncio.sleep(chance.choice((0, 0.001, 0.005)))
                    await CHANGES.append(conn, [replace(CHANGE, resource_id=number)] * chance.randint(1, 3))
                    await asyncio.sleep(chance.choice((0, 0.001)))
                    if chance.random() < 0.8:
                        await conn.commit()

        await asyncio.gather(*(write(number) for number in range(8)))
        before = (await world.position()).revision
        # The open transaction holds nobody up.
        assert before > 100
        seen = await asyncio.gather(*(read_revisions(call, before) for call in calls))

        last = await CHANGES.append(held, [CHANGE])
        # It has a revision, and is not to be seen before it is committed. Others wait for it.
        waiting = asyncio.create_task(append(world.database, CHANGE))
        answers = [await next_answer(call) for call in calls]
        assert {answer.position.revision for answer in answers} == {before}
        assert not [answer for answer in answers if answer.changes]
        assert not waiting.done()
        await held.commit()
        assert (last, await waiting) == (before + 1, before + 2)

    rest = await asyncio.gather(*(read_revisions(call, 2) for call in calls))
    every = list(range(1, before + 3))
    assert [first + second for first, second in zip(seen, rest, strict=True)] == [every] * len(calls)


async def test_readers_come_and_go_while_the_feed_starts_and_stops(world: ChangeWorld) -> None:
    chance = random.Random(9)
    position = await world.position()
    written = 0
    for _ in range(100):
        call = world.watch(Position(epoch=position.epoch, revision=written))
        if chance.random() < 0.5:
            await next_answer(call)
        written = await world.write(*numbered(chance.randint(1, 3)))
        found = await read_revisions(call, 1)
        assert found[0] <= written
        call.cancel()
        if chance.random() < 0.3:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await wait_until_async(lambda: world.feed.readers == 0, "no reader")
