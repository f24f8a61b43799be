"""Which calls a channel repeats, by what their contract says."""

import asyncio
import contextlib
from typing import Any

import pytest

from svckit.errors import Unavailable
from svckit.rpc import RpcChannel, open_channel
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

_REQUEST = guarded_pb2.Request(repository="library/alpine")
_KEYED = guarded_pb2.CreateRequest(idempotency_key="k-1")


@pytest.fixture
def stub(channel: RpcChannel) -> Any:
    return guarded_pb2_grpc.GuardedStub(channel)


@pytest.mark.parametrize(
    ("method", "request_", "attempts"),
    [
        ("Public", _REQUEST, 3),
        ("Hash", _REQUEST, 3),
        ("PullStream", _REQUEST, 3),
        ("Create", _KEYED, 3),
        ("Create", guarded_pb2.CreateRequest(text="no key"), 1),
        ("Append", _REQUEST, 1),
        # Its contract says nothing.
        ("Pull", _REQUEST, 1),
        ("Collect", [_REQUEST], 1),
    ],
)
async def test_what_may_be_repeated_by_its_contract_is_repeated_and_nothing_else(
    stub: Any, servicer: GuardedServicer, method: str, request_: Any, attempts: int
) -> None:
    asked = 0

    def fails_twice() -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Unavailable(retry_after_seconds=None)

    async def serves(request: Any, context: Any) -> Any:
        fails_twice()
        return guarded_pb2.Response()

    async def streams(request: Any, context: Any) -> Any:
        fails_twice()
        yield guarded_pb2.Response()

    streamed = method == "PullStream"
    servicer.instead[method] = streams if streamed else serves
    call = getattr(stub, method)(iter(request_) if isinstance(request_, list) else request_)
    answered = [answer async for answer in call] if streamed else [call]
    with contextlib.nullcontext() if attempts == 3 else pytest.raises(Unavailable):
        assert [answer if streamed else await answer for answer in answered] == [guarded_pb2.Response()]
    assert asked == attempts


async def test_a_stream_is_not_repeated_once_something_of_it_has_come(stub: Any, servicer: GuardedServicer) -> None:
    asked = 0

    async def breaks_off(request: Any, context: Any) -> Any:
        nonlocal asked
        asked += 1
        yield guarded_pb2.Response(text="first")
        raise Unavailable(retry_after_seconds=None)

    servicer.instead["PullStream"] = breaks_off
    answers = aiter(stub.PullStream(_REQUEST))
    assert (await anext(answers)).text == "first"
    with pytest.raises(Unavailable):
        await anext(answers)
    assert asked == 1


async def test_a_restart_goes_unnoticed_by_idempotent_calls(start_server: Any, installation: Installation) -> None:
    server = await start_server()
    stopping = asyncio.Event()
    answered = 0

    async with open_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)

        async def keeps_asking() -> None:
            nonlocal answered
            while not stopping.is_set():
                await stub.Public(_REQUEST)
                answered += 1

        asking = [asyncio.ensure_future(keeps_asking()) for _ in range(8)]
        for _ in range(3):
            before = answered
            while answered < before + 50:
                await asyncio.sleep(0)
            await server.drain(5)
            server = await start_server()
        stopping.set()
        await asyncio.gather(*asking)
    assert answered > 150
