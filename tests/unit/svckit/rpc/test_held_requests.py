"""Callers hold a bounded memory by large requests that are being served."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from svckit.metrics import Metrics
from svckit.rpc.server import RpcServer
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of

MEBIBYTE = 1024 * 1024
LARGE = guarded_pb2.Request(data=bytes(900 * 1024))
SMALL = guarded_pb2.Request(data=bytes(1024))


class Requests:
    """Requests that are served until the test ends."""

    def __init__(self, server: RpcServer, stub: Any) -> None:
        self._messages = server.messages
        self._stub = stub

    def send(self, request: Any, token: str | None = None) -> Any:
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        return self._stub.Public(request, metadata=metadata)

    async def refusal(self, request: Any, token: str | None = None) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.send(request, token)
        return reason_of(error.value)

    async def held(self, count: int) -> None:
        await wait_until_async(
            lambda: self._messages.held_bytes // (900 * 1024), "requests", wanted=lambda now: now == count, seconds=10
        )


@pytest.fixture
def end(servicer: GuardedServicer) -> asyncio.Event:
    end = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        if len(request.data) > len(SMALL.data):
            await end.wait()
        return guarded_pb2.Response()

    servicer.instead["Public"] = wait
    return end


@pytest.fixture
async def requests(start_server: Any, end: asyncio.Event) -> AsyncIterator[Requests]:
    server = await start_server(message_memory_bytes=3 * MEBIBYTE, message_memory_per_caller_bytes=2 * MEBIBYTE)
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        yield Requests(server, guarded_pb2_grpc.GuardedStub(channel))
        end.set()


async def test_one_caller_has_a_share_and_small_requests_are_served(
    requests: Requests, installation: Installation, metrics: Metrics
) -> None:
    first = [requests.send(LARGE) for _ in range(2)]
    await requests.held(2)
    assert await requests.refusal(LARGE) == "TOOMANYREQUESTS"
    await requests.send(SMALL)
    second = requests.send(LARGE, installation.user(7))
    await requests.held(3)
    assert await requests.refusal(LARGE, installation.user(8)) == "OVERLOADED"
    shown = metrics.render().decode()
    for reason in ("without_credentials", "all"):
        assert f'rpc_server_places_refused_total{{kind="memory",reason="{reason}",service="metasvc"}} 1.0' in shown
    for call in (*first, second):
        call.cancel()


async def test_a_request_that_has_been_answered_holds_nothing(requests: Requests, end: asyncio.Event) -> None:
    pending = [requests.send(LARGE) for _ in range(2)]
    await requests.held(2)
    end.set()
    await asyncio.gather(*pending)
    await requests.held(0)
    await requests.send(LARGE)
