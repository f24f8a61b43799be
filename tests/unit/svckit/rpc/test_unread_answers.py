"""Callers hold a bounded memory by answers that they do not read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.settings
import pytest

from svckit.rpc.server import RpcServer
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of

MEBIBYTE = 1024 * 1024
SIZE_BYTES = 900 * 1024
PUBLIC = "/roadstead.guarded.v1.Guarded/Public"
REQUEST = guarded_pb2.Request(repository="library/alpine")


class Unread:
    """A client that gives no window for answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._client.local_settings = h2.settings.Settings(
            initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
        )
        self._client.initiate_connection()

    async def call(self) -> None:
        stream, content = self._client.get_next_available_stream_id(), REQUEST.SerializeToString()
        names = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", PUBLIC)]
        self._client.send_headers(stream, [*names, ("te", "trailers"), ("content-type", "application/grpc")])
        self._client.send_data(stream, b"\0" + len(content).to_bytes(4, "big") + content, end_stream=True)
        self._writer.write(self._client.data_to_send())
        await self._writer.drain()

    def close(self) -> None:
        self._writer.transport.abort()


async def open_unread(server: RpcServer) -> Unread:
    host, _, port = str(server.addresses[0]).rpartition(":")
    return Unread(*await asyncio.open_connection(host, int(port)))


async def held(server: RpcServer, size: int) -> None:
    messages = server.messages
    await wait_until_async(
        lambda: messages.held_bytes, "answers to wait", wanted=lambda now: now // SIZE_BYTES == size, seconds=10
    )


@pytest.fixture
def start(start_server: Any, servicer: GuardedServicer) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        return guarded_pb2.Response(text="x" * SIZE_BYTES)

    for method in ("Public", "Authenticated"):
        servicer.instead[method] = answer

    async def begin(**settings: Any) -> RpcServer:
        server: RpcServer = await start_server(
            listen=("127.0.0.1:0",),
            message_memory_bytes=3 * MEBIBYTE,
            message_memory_per_caller_bytes=2 * MEBIBYTE,
            **settings,
        )
        return server

    return begin


@pytest.fixture
async def unread(start: Any) -> AsyncIterator[tuple[RpcServer, Unread]]:
    server = await start()
    client = await open_unread(server)
    yield server, client
    client.close()


async def test_unread_answers_of_strangers_leave_others_their_share(
    unread: tuple[RpcServer, Unread], installation: Installation
) -> None:
    server, client = unread
    for _ in range(5):
        await client.call()
    await held(server, 2)
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Public(REQUEST)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(refused.value) == "TOOMANYREQUESTS"
        known = (("authorization", f"Bearer {installation.user(7)}"),)
        assert len((await stub.Authenticated(REQUEST, metadata=known)).text) == SIZE_BYTES


async def test_the_memory_is_free_when_the_client_has_gone(unread: tuple[RpcServer, Unread]) -> None:
    server, client = unread
    await client.call()
    await held(server, 1)
    client.close()
    await held(server, 0)


async def test_an_answer_that_was_read_is_counted_out(start: Any) -> None:
    server = await start()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        for _ in range(5):
            await guarded_pb2_grpc.GuardedStub(channel).Public(REQUEST)
    await held(server, 0)
