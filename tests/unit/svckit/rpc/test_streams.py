"""Long streams: their limits, their end, and what they hold while nothing happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import grpc
import grpc.aio
import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, func, insert, select

from svckit.errors import DomainError
from svckit.errors.status import from_rpc_error
from svckit.metrics import Metrics
from svckit.rpc import FollowedPage, Notifier, RpcServer, follow
from svckit.rpc import server as server_module
from svckit.rpc.streams import LongStreams, current_stream
from svckit.sql.database import Database
from svckit.sql.opening import open_database
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.conftest import StartServer
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

PATIENCE_SECONDS = 20.0


class Log:
    """What the watches of these tests follow: a growing list, read in pages of two."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.is_complete = False
        self.notifier = Notifier()
        self.reads = 0
        self.most_reading = 0
        self._reading = 0
        self.during_read: Callable[[], Awaitable[None]] | None = None

    def add(self, *entries: str) -> None:
        self.entries += entries
        self.notifier.notify()

    def complete(self) -> None:
        self.is_complete = True
        self.notifier.notify()

    async def read(self, position: int) -> FollowedPage[str, int] | None:
        self.reads += 1
        self._reading += 1
        self.most_reading = max(self.most_reading, self._reading)
        try:
            found = self.entries[position : position + 2]
            if self.during_read is not None:
                await self.during_read()
            if not found and self.is_complete:
                return None
            return FollowedPage(found, position + len(found), has_more=len(found) == 2)
        finally:
            self._reading -= 1

    async def watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        # The field tells where to begin, as the revision does in a watch of changes.
        async for entry in follow(self.read, request.user_id, self.notifier):
            yield guarded_pb2.Response(text=entry)


@pytest.fixture
def watched(servicer: GuardedServicer) -> Log:
    log = Log()
    servicer.instead["Watch"] = log.watch
    return log


@asynccontextmanager
async def client_of(server: RpcServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        yield guarded_pb2_grpc.GuardedStub(channel)


class Wire:
    """A way to a server on a unix socket that can be cut, so that neither side hears of the other any more."""

    def __init__(self, server: RpcServer) -> None:
        self._path = str(server.addresses[0]).removeprefix("unix:")
        self._cut = asyncio.Event()
        self._carried = asyncio.Event()
        self._ways: list[asyncio.Task[None]] = []
        self.target = ""

    async def carried_more(self, chunks: int) -> None:
        """Returns when so many more have come from the server."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(chunks):
                self._carried.clear()
                await self._carried.wait()

    def cut(self) -> None:
        self._cut.set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.target = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_unix_connection(self._path)
        self._ways.append(asyncio.ensure_future(self._carry(reader, other_writer, asyncio.Event())))
        self._ways.append(asyncio.ensure_future(self._carry(other_reader, writer, self._carried)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, carried: asyncio.Event) -> None:
        try:
            while (data := await source.read(65536)) and not self._cut.is_set():
                target.write(data)
                await target.drain()
                carried.set()
            await self._cut.wait()
            await asyncio.Event().wait()
        finally:
            target.close()


def count_of(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"rpc_server_{name}", {"service": "metasvc"})


async def counted(metrics: Metrics, **counts: int) -> None:
    """Until so many are counted: a server hears of its clients a moment later."""
    await wait_until_async(
        lambda: {name: count_of(metrics, name) for name in counts}, str(counts), wanted=lambda seen: seen == counts
    )


async def refusal(call: Any) -> DomainError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await call.read() if hasattr(call, "read") else await call
    return from_rpc_error(refused.value)


async def read_to_the_end(call: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await call.read() is not grpc.aio.EOF:
            pass


async def test_a_thousand_idle_streams_take_no_place_among_the_calls_in_flight(
    start_server: StartServer, servicer: GuardedServicer, metrics: Metrics, watched: Log
) -> None:
    release, started = asyncio.Event(), asyncio.Semaphore(0)

    async def waits(request: Any, context: Any) -> Any:
        started.release()
        await release.wait()
        return guarded_pb2.Response()

    servicer.instead["Append"] = waits
    server = await start_server(max_in_flight=2, max_long_streams=1000, max_long_streams_per_caller=1000)
    async with client_of(server) as stub:
        watches = [stub.Watch(guarded_pb2.Request()) for _ in range(1000)]
        await counted(metrics, long_streams=1000, in_flight=0)
        # All places for calls are there, and no more than these.
        full = [stub.Append(guarded_pb2.Request()) for _ in range(2)]
        for _ in full:
            await started.acquire()
        await counted(metrics, long_streams=1000, in_flight=2)
        assert (await refusal(stub.Append(guarded_pb2.Request()))).reason == "OVERLOADED"
        release.set()
        await asyncio.gather(*full)
        for number in range(20):
            assert (await stub.Public(guarded_pb2.Request(text=str(number)))).text == str(number)
        watched.add("news")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert {(await watch.read()).text for watch in watches} == {"news"}


async def test_one_stream_too_many_is_told_to_come_again_and_who_goes_away_frees_a_place(
    start_server: StartServer, metrics: Metrics, watched: Log
) -> None:
    server = await start_server(max_long_streams=2)
    watched.add("first")
    async with client_of(server) as stub:
        one, two = stub.Watch(guarded_pb2.Request()), stub.Watch(guarded_pb2.Request())
        for watch in (one, two):
            await watch.read()
        told = await refusal(stub.Watch(guarded_pb2.Request()))
        assert (told.reason, told.retry_after_seconds) == ("OVERLOADED", 1)
        # Calls go on meanwhile.
        await stub.Public(guarded_pb2.Request())
        one.cancel()
        await counted(metrics, long_streams=1)
        assert (await stub.Watch(guarded_pb2.Request()).read()).text == "first"
        await counted(metrics, long_streams=2, in_flight=0)


async def test_no_caller_takes_all_places_and_those_without_credentials_count_as_one(
    start_server: StartServer, installation: Installation, watched: Log, metrics: Metrics
) -> None:
    server = await start_server(max_long_streams=100, max_long_streams_per_caller=2)
    watched.add("first")

    async with client_of(server) as stub, AsyncExitStack() as stack:

        def watch(token: str | None) -> Any:
            metadata = [] if token is None else [("authorization", f"Bearer {token}")]
            call = stub.Watch(guarded_pb2.Request(), metadata=metadata)
            stack.callback(call.cancel)
            return call

        # Two tokens of one user are one caller.
        callers: tuple[list[str | None], ...] = (
            [installation.user(7), installation.registry("user:7")],
            [installation.user(8), installation.user(8)],
            [installation.robot(12), installation.robot(12)],
            [None, None],
        )
        for already_open, tokens in zip(range(0, 8, 2), callers, strict=True):
            own = [watch(token) for token in tokens]
            assert [(await each.read()).text for each in own] == ["first", "first"]
            told = await refusal(watch(tokens[0]))
            assert (told.reason, told.message) == ("OVERLOADED", "one caller may keep 2 streams open")
            own[0].cancel()
            await counted(metrics, long_streams=already_open + 1)
            assert (await watch(tokens[1]).read()).text == "first"


async def test_a_drain_ends_streams_at_once_and_tells_their_clients_to_go_elsewhere(
    start_server: StartServer, servicer: GuardedServicer, watched: Log, metrics: Metrics
) -> None:
    cleaned_up = []

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            if request.text == "waits for itself alone":
                yield guarded_pb2.Response()
                await asyncio.Event().wait()
            async for answer in watched.watch(request, context):
                yield answer
        finally:
            cleaned_up.append(request.text)

    servicer.instead["Watch"] = watch
    watched.add("first")
    server = await start_server(drain_seconds=60)
    async with client_of(server) as stub:
        watches = [
            stub.Watch(guarded_pb2.Request(text=text))
            for text in ["follows", "waits for itself alone"]
            for _ in range(25)
        ]
        for each in watches:
            await each.read()
        began = time.monotonic()
        draining = asyncio.ensure_future(server.drain())
        told = [await refusal(each) for each in watches]
        await draining
        assert time.monotonic() - began < 1
    assert {error.reason for error in told} == {"GOING_AWAY"}
    assert {error.entry.grpc_code for error in told} == {"UNAVAILABLE"}
    assert len(cleaned_up) == 50
    assert (count_of(metrics, "long_streams"), count_of(metrics, "in_flight")) == (0, 0)


async def test_a_client_goes_on_at_the_next_server_where_it_was(start_server: StartServer, watched: Log) -> None:
    watched.add("a", "b", "c")
    first = await start_server(drain_seconds=60)
    seen: list[str] = []
    async with client_of(first) as stub:
        watch = stub.Watch(guarded_pb2.Request())
        seen += [(await watch.read()).text for _ in range(3)]
        draining = asyncio.ensure_future(first.drain())
        assert (await refusal(watch)).reason == "GOING_AWAY"
        await draining
    watched.add("d", "e")
    async with client_of(await start_server()) as stub:
        watch = stub.Watch(guarded_pb2.Request(user_id=len(seen)))
        seen += [(await watch.read()).text for _ in range(2)]
    assert seen == ["a", "b", "c", "d", "e"]


async def test_a_stream_that_sends_without_pause_ends_at_a_drain_too(
    start_server: StartServer, servicer: GuardedServicer
) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            yield guarded_pb2.Response()
            await asyncio.sleep(0)

    servicer.instead["Watch"] = watch
    server = await start_server(drain_seconds=60)
    async with client_of(server) as stub:
        call = stub.Watch(guarded_pb2.Request())
        await call.read()
        draining = asyncio.ensure_future(server.drain())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await read_to_the_end(call)
        assert from_rpc_error(ended.value).reason == "GOING_AWAY"
        await asyncio.wait_for(draining, PATIENCE_SECONDS)


async def test_silence_ends_no_stream_but_a_client_that_does_not_read_is_ended(
    start_server: StartServer, servicer: GuardedServicer, watched: Log, metrics: Metrics
) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        if request.text == "floods":
            while True:
                yield guarded_pb2.Response(data=bytes(1_000_000))
        async for answer in watched.watch(request, context):
            yield answer

    servicer.instead["Watch"] = watch
    server = await start_server(stream_idle_seconds=0.1)
    async with client_of(server) as stub, client_of(server) as other:
        silent = stub.Watch(guarded_pb2.Request())
        await counted(metrics, long_streams=1)
        unread = other.Watch(guarded_pb2.Request(text="floods"))
        await unread.read()
        # The time-out of the one that is not read has passed now, and that of the silent one with it.
        await counted(metrics, long_streams=1)
        watched.add("after the silence")
        assert (await silent.read()).text == "after the silence"


async def test_a_client_that_vanished_without_a_word_is_found_by_pings(
    start_server: StartServer, watched: Log, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server's own times, a hundred times as fast.
    timed = {"grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"}
    options = [(name, value // 100 if name in timed else value) for name, value in server_module._OPTIONS]
    monkeypatch.setattr(server_module, "_OPTIONS", options)
    server = await start_server()
    async with Wire(server) as wire, grpc.aio.insecure_channel(wire.target) as channel:
        watch = guarded_pb2_grpc.GuardedStub(channel).Watch(guarded_pb2.Request())
        watched.add("first")
        await watch.read()
        # Nothing but pings is carried now, one every 600 ms: silent, and healthy.
        await wire.carried_more(3)
        assert count_of(metrics, "long_streams") == 1
        wire.cut()
        await counted(metrics, long_streams=0)


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


async def test_a_time_out_of_the_handlers_own_is_no_end_of_the_stream(
    start_server: StartServer, servicer: GuardedServicer
) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield guarded_pb2.Response()
        raise TimeoutError

    servicer.instead["Watch"] = watch
    async with client_of(await start_server()) as stub:
        call = stub.Watch(guarded_pb2.Request())
        await call.read()
        assert (await refusal(call)).reason == "INTERNAL"


async def test_a_short_call_has_no_long_stream(stub: Any, servicer: GuardedServicer) -> None:
    async def follows(request: Any, context: Any) -> AsyncIterator[Any]:
        with pytest.raises(LookupError):
            current_stream()
        yield guarded_pb2.Response()

    servicer.instead["PullStream"] = follows
    assert [_ async for _ in stub.PullStream(guarded_pb2.Request(repository="library/alpine"))]


async def test_no_stream_is_let_in_while_the_server_drains() -> None:
    streams = LongStreams(limit=10, limit_per_caller=10)
    streams.end()
    with pytest.raises(DomainError) as refused, streams.place("user:7"):
        pass
    assert refused.value.reason == "GOING_AWAY"
    assert streams.count == 0


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
        server = await start_server(max_in_flight=2)
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
