"""Streams that a server refuses while the client still writes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from svckit.errors import NotFound
from svckit.rpc import open_channel
from tests.unit.svckit.rpc.conftest import StartServer
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer


async def test_a_refusal_is_heard_though_it_arrives_in_the_middle_of_a_write(
    start_server: StartServer, servicer: GuardedServicer
) -> None:
    async def refuses_the_second(requests: Any, context: Any) -> Any:
        await anext(aiter(requests))
        raise NotFound("MANIFEST_UNKNOWN", "no such manifest")

    async def many() -> AsyncIterator[Any]:
        for _ in range(1000):
            yield guarded_pb2.Request(data=bytes(200_000))

    async def writes() -> None:
        call = stub.WriteUpload()
        async for request in many():
            await call.write(request)
        await call.done_writing()
        await call

    async def closes() -> None:
        call = stub.WriteUpload()
        await call.write(guarded_pb2.Request(data=bytes(200_000)))
        await call.done_writing()
        await call

    async def uploads() -> None:
        await stub.WriteUpload(many())

    servicer.instead["WriteUpload"] = refuses_the_second
    server = await start_server()
    async with open_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        # When exactly it arrives is left to chance, and one time in some dozens it was lost.
        for _ in range(100):
            for ask in (writes, closes, uploads):
                with pytest.raises(NotFound) as caught:
                    await ask()
                assert caught.value.reason == "MANIFEST_UNKNOWN", ask.__name__
