"""Clients of streams must keep a least rate and a longest time, in both directions."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from svckit.access.call import Call
from svckit.errors import DomainError
from svckit.pace import Pace
from svckit.rpc import open_channel
from svckit.rpc.settings import RpcServerSettings
from svckit.rpc.stream_pace import StreamPaces
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

_REQUEST = guarded_pb2.Request(repository="library/alpine")
IDLE_SECONDS = 0.3
DRIP_SECONDS = 0.02
TEST_SECONDS = 20

Open = Callable[..., Any]


@pytest.fixture
async def open_stub(start_server: Any, servicer: GuardedServicer) -> AsyncIterator[Open]:
    channels = []

    async def collect(requests: Any, context: Any) -> Any:
        count = 0
        async for _ in requests:
            count += 1
        return guarded_pb2.Response(text=str(count))

    async def send(request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            yield guarded_pb2.Response(data=bytes(256 * 1024))

    servicer.instead |= {"Collect": collect, "PullStream": send}

    async def open_(**settings: Any) -> Any:
        server = await start_server(**({"stream_idle_seconds": IDLE_SECONDS} | settings))
        # A channel of gRPC loses the server's error if it arrives while the client writes.
        channels.append(open_channel(str(server.addresses[0])))
        return guarded_pb2_grpc.GuardedStub(channels[-1])

    yield open_
    for channel in channels:
        await channel.close()


async def drip(seconds: float = DRIP_SECONDS, count: int = 10**6) -> AsyncIterator[Any]:
    for _ in range(count):
        yield _REQUEST
        await asyncio.sleep(seconds)


async def ended(call: Any) -> str:
    with pytest.raises(DomainError) as error:
        async with asyncio.timeout(TEST_SECONDS):
            await call
    return error.value.reason


async def read_slowly(call: Any) -> None:
    while True:
        await call.read()
        await asyncio.sleep(DRIP_SECONDS)


async def test_a_client_that_sends_a_few_bytes_now_and_then_is_ended(open_stub: Open) -> None:
    stub = await open_stub()
    assert await ended(stub.Collect(drip())) == "REQUEST_TIMEOUT"


async def test_a_client_that_sends_fast_enough_may_go_on_for_longer_than_it_may_stand_still(open_stub: Open) -> None:
    stub = await open_stub(stream_bytes_per_second=1)
    count = int(2 * IDLE_SECONDS / DRIP_SECONDS)
    async with asyncio.timeout(TEST_SECONDS):
        assert (await stub.Collect(drip(count=count))).text == str(count)


async def test_a_client_that_reads_a_little_now_and_then_is_ended(open_stub: Open, installation: Installation) -> None:
    stub = await open_stub(stream_bytes_per_second=1024**3)
    call = stub.PullStream(_REQUEST, metadata=(("authorization", f"Bearer {installation.registry()}"),))
    assert await ended(read_slowly(call)) == "REQUEST_TIMEOUT"


async def test_the_longest_time_holds_for_the_fastest_client(open_stub: Open) -> None:
    stub = await open_stub(stream_idle_seconds=60, stream_seconds=IDLE_SECONDS, stream_bytes_per_second=1)
    assert await ended(stub.Collect(drip(seconds=0))) == "REQUEST_TIMEOUT"


async def test_a_stream_that_the_gateway_passes_on_may_be_slower(open_stub: Open, installation: Installation) -> None:
    stub = await open_stub()
    gateway = (("x-roadstead-service", installation.service("gateway")),)
    async with asyncio.timeout(TEST_SECONDS):
        # The same client is ended if it calls directly.
        assert (await stub.Collect(drip(seconds=2 * IDLE_SECONDS, count=2), metadata=gateway)).text == "2"
    assert await ended(stub.Collect(drip(seconds=2 * IDLE_SECONDS, count=2))) == "REQUEST_TIMEOUT"


def test_a_watch_has_no_rate_and_no_longest_time() -> None:
    settings = RpcServerSettings(listen=("127.0.0.1:0",), stream_idle_seconds=5, stream_seconds=9)
    for caller in (None, "gateway"):
        call = Call("/x/Watch", caller_service=caller)
        assert StreamPaces(settings).of(call, is_long_lived=True) == Pace(5, 0)


async def test_a_stream_whose_requests_are_not_read_begins_no_iterator(
    open_stub: Open, servicer: GuardedServicer
) -> None:
    async def ignore(requests: Any, context: Any) -> Any:
        return guarded_pb2.Response(text="ignored")

    stub = await open_stub()
    servicer.instead["Collect"] = ignore
    assert (await stub.Collect(iter([_REQUEST]))).text == "ignored"
    # Python warns of an iterator that nobody used when it frees it.
    gc.collect()
