"""Long streams: their limits and their end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.errors import DomainError
from svckit.errors.status import from_rpc_error
from svckit.metrics import Metrics
from svckit.rpc import server as server_module
from svckit.rpc.streams import LongStreams, current_stream
from tests.unit.svckit.rpc.conftest import StartServer
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.watching import (
    PATIENCE_SECONDS,
    Log,
    Wire,
    client_of,
    count_of,
    counted,
    read_to_the_end,
    refusal,
)
from tests.unit.svckit.rpc.world import GuardedServicer, Installation


async def test_a_thousand_idle_streams_take_no_place_among_the_calls_in_flight(
    start_server: StartServer, servicer: GuardedServicer, metrics: Metrics, watched: Log
) -> None:
    release, started = asyncio.Event(), asyncio.Semaphore(0)

    async def waits(request: Any, context: Any) -> Any:
        started.release()
        await release.wait()
        return guarded_pb2.Response()

    servicer.instead["Append"] = waits
    server = await start_server(
        max_in_flight=2,
        in_flight_share_without_credentials=1,
        max_long_streams=1000,
        max_long_streams_per_caller=1000,
    )
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
            assert (told.reason, told.retry_after_seconds) == ("TOOMANYREQUESTS", 1)
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
    streams = LongStreams()
    streams.end()
    with pytest.raises(DomainError) as refused, streams.opened():
        pass
    assert refused.value.reason == "GOING_AWAY"
