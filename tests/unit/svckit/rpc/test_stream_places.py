"""Streams have places of their own, apart from short calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.metrics import Metrics
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of

_REQUEST = guarded_pb2.Request(repository="library/alpine")


class Streams:
    """Clients whose streams stay open until the test ends."""

    def __init__(self, target: str, servicer: GuardedServicer) -> None:
        self._target = target
        self._stack = AsyncExitStack()
        self.opened = 0
        self.end = asyncio.Event()
        servicer.instead["Collect"] = self._collect

    async def _collect(self, requests: Any, context: Any) -> Any:
        self.opened += 1
        await self.end.wait()
        return guarded_pb2.Response()

    async def begin(self, token: str | None = None) -> Any:
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(self._target))
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        return guarded_pb2_grpc.GuardedStub(channel).Collect(iter([_REQUEST]), metadata=metadata)

    async def begin_and_wait(self, count: int, token: str | None = None) -> list[Any]:
        calls, wanted = [await self.begin(token) for _ in range(count)], self.opened + count
        await wait_until_async(self._count, "the streams to open", wanted=lambda now: now == wanted, seconds=10)
        return calls

    async def _count(self) -> int:
        return self.opened

    async def close(self) -> None:
        self.end.set()
        await self._stack.aclose()


@pytest.fixture
async def streams(start_server: Any, servicer: GuardedServicer) -> AsyncIterator[Streams]:
    server = await start_server(
        listen=("127.0.0.1:0",),
        max_in_flight=1,
        max_streams=5,
        max_streams_per_caller=2,
        max_streams_per_address=4,
        max_streams_per_address_without_credentials=4,
        max_streams_without_credentials=3,
    )
    streams = Streams(str(server.addresses[0]), servicer)
    yield streams
    await streams.close()


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return reason_of(error.value)


async def test_open_streams_leave_all_places_to_short_calls(streams: Streams, installation: Installation) -> None:
    await streams.begin_and_wait(3)
    channel = grpc.aio.insecure_channel(streams._target)
    async with channel:
        await guarded_pb2_grpc.GuardedStub(channel).Public(_REQUEST)


async def test_one_caller_has_a_share_and_so_have_all_without_credentials(
    streams: Streams, installation: Installation, metrics: Metrics
) -> None:
    await streams.begin_and_wait(2, installation.user(7))
    assert await refused(await streams.begin(installation.user(7))) == "TOOMANYREQUESTS"
    await streams.begin_and_wait(3)
    assert await refused(await streams.begin(installation.user(8))) == "OVERLOADED"
    shown = metrics.render().decode()
    assert 'rpc_server_streams{service="metasvc"} 5.0' in shown
    for reason in ("subject", "all"):
        assert f'rpc_server_places_refused_total{{kind="streams",reason="{reason}",service="metasvc"}} 1.0' in shown


async def test_a_stream_that_ended_gives_its_place_back(streams: Streams) -> None:
    calls = await streams.begin_and_wait(3)
    assert await refused(await streams.begin()) == "TOOMANYREQUESTS"
    streams.end.set()
    await asyncio.gather(*calls)
    assert await (await streams.begin()) == guarded_pb2.Response()
