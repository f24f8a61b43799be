"""Streams that follow a source: they miss nothing, and hold nothing while nothing happens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from sqlalchemy import BigInteger, Column, MetaData, Table, func, insert, select

from svckit.metrics import Metrics
from svckit.rpc import FollowedPage, Notifier, follow
from svckit.rpc.streams import current_stream
from svckit.sql.database import Database
from svckit.sql.opening import open_database
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.conftest import StartServer
from tests.unit.svckit.rpc.contract import guarded_pb2
from tests.unit.svckit.rpc.watching import (
    PATIENCE_SECONDS,
    Log,
    client_of,
    counted,
)
from tests.unit.svckit.rpc.world import GuardedServicer


async def test_a_stream_whose_source_is_complete_ends_well(start_server: StartServer, watched: Log) -> None:
    watched.add("a", "b", "c")
    async with client_of(await start_server()) as stub:
        call = stub.Watch(guarded_pb2.Request())
        assert [(await call.read()).text for _ in range(3)] == ["a", "b", "c"]
        watched.complete()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_what_comes_while_a_page_is_read_is_not_missed(start_server: StartServer, watched: Log) -> None:
    async def add() -> None:
        watched.during_read = None
        watched.add("came during the read")

    watched.during_read = add
    async with client_of(await start_server()) as stub:
        call = stub.Watch(guarded_pb2.Request())
        assert (await asyncio.wait_for(call.read(), PATIENCE_SECONDS)).text == "came during the read"


async def test_what_nobody_notifies_of_is_found_by_looking_now_and_then(
    start_server: StartServer, servicer: GuardedServicer, watched: Log
) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        async for entry in follow(watched.read, 0, watched.notifier, poll_seconds=0.02):
            yield guarded_pb2.Response(text=entry)

    servicer.instead["Watch"] = watch
    async with client_of(await start_server()) as stub:
        call = stub.Watch(guarded_pb2.Request())
        await wait_until_async(lambda: watched.reads, "three looks", wanted=lambda reads: reads >= 3)
        watched.entries.append("written by another process")
        assert (await asyncio.wait_for(call.read(), PATIENCE_SECONDS)).text == "written by another process"


async def test_what_wakes_all_streams_lets_two_of_them_read_at_a_time(
    start_server: StartServer, watched: Log, metrics: Metrics
) -> None:
    async def takes_a_while() -> None:
        await asyncio.sleep(0.001)

    watched.during_read = takes_a_while
    async with client_of(await start_server()) as stub:
        watches = [stub.Watch(guarded_pb2.Request()) for _ in range(50)]
        await counted(metrics, long_streams=50)
        watched.add("news")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert {(await watch.read()).text for watch in watches} == {"news"}
    assert watched.most_reading == 2


async def test_a_handler_may_wait_for_an_event_of_its_own(start_server: StartServer, servicer: GuardedServicer) -> None:
    waiting, happened = asyncio.Event(), asyncio.Event()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        stream = current_stream()
        yield guarded_pb2.Response(text=str(await stream.wait_for(happened.wait(), seconds=0.01)))
        waiting.set()
        yield guarded_pb2.Response(text=str(await stream.wait_for(happened.wait())))

    servicer.instead["Watch"] = watch
    async with client_of(await start_server()) as stub:
        call = stub.Watch(guarded_pb2.Request())
        assert (await call.read()).text == "False"
        await waiting.wait()
        happened.set()
        assert (await call.read()).text == "True"
        assert await call.read() is grpc.aio.EOF


entry = Table("entry", MetaData(), Column("id", BigInteger, primary_key=True, autoincrement=False))


class Rows:
    """A servicer over a database: Watch follows its rows, Append writes one, Public counts them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notifier = Notifier()

    async def read(self, after: int) -> FollowedPage[int, int]:
        async with self._database.read() as conn:
            query = select(entry.c.id).where(entry.c.id > after).order_by(entry.c.id).limit(100)
            found = [int(id_) for id_ in (await conn.execute(query)).scalars()]
        return FollowedPage(found, found[-1] if found else after)

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for id_ in follow(self.read, 0, self._notifier):
            yield guarded_pb2.Response(project_id=id_)

    async def append(self, request: Any, context: Any) -> Any:
        async with self._database.write() as conn:
            await conn.execute(insert(entry).values(id=request.user_id))
            await conn.commit()
        self._notifier.notify()
        return guarded_pb2.Response()

    async def count(self, request: Any, context: Any) -> Any:
        async with self._database.read() as conn:
            count = (await conn.execute(select(func.count()).select_from(entry))).scalar_one()
        return guarded_pb2.Response(project_id=count)


async def test_four_connections_serve_a_hundred_idle_watches_and_the_calls_beside_them(
    start_server: StartServer, servicer: GuardedServicer, metrics: Metrics, database_url: str
) -> None:
    # Nobody waits for a connection for longer than a second: a watch that kept one would show.
    database = await open_database(database_url, schema="service", pool_size=4, wait_seconds=1)
    try:
        async with database.change_schema() as conn:
            await conn.run_sync(entry.metadata.create_all)
            await conn.commit()
        rows = Rows(database)
        servicer.instead |= {"Watch": rows.watch, "Append": rows.append, "Public": rows.count}
        server = await start_server(max_in_flight=2, in_flight_share_without_credentials=1)
        async with client_of(server) as stub:
            watches = [stub.Watch(guarded_pb2.Request()) for _ in range(100)]
            await counted(metrics, long_streams=100)
            for id_ in (1, 2, 3):
                await stub.Append(guarded_pb2.Request(user_id=id_))
                both = await asyncio.gather(*(stub.Public(guarded_pb2.Request()) for _ in range(2)))
                assert [answer.project_id for answer in both] == [id_, id_]
                async with asyncio.timeout(PATIENCE_SECONDS):
                    assert {(await watch.read()).project_id for watch in watches} == {id_}
            for watch in watches:
                watch.cancel()
            await counted(metrics, long_streams=0)
    finally:
        await database.close()
