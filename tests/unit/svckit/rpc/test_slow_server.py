"""A channel to a server that is busy when the channel connects."""

import asyncio
import socket
from pathlib import Path
from typing import Any

from svckit.rpc import open_channel
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

# Longer than the pauses between two attempts to connect. The delay is what this test is about.
_BUSY_SECONDS = 0.5


async def test_a_server_that_accepts_late_is_waited_for_even_by_calls_that_are_never_repeated(
    start_server: Any, socket_dir: Path, servicer: GuardedServicer, installation: Installation
) -> None:
    server = await start_server()
    servicer.instead["Collect"] = _answer
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{socket_dir}/late")
        # The system completes the connection at once, and the greeting of HTTP/2 stays unanswered.
        listening.listen()
        listening.setblocking(False)
        async with open_channel(
            f"unix:{socket_dir}/late", service_tokens=installation.keyring.service_tokens("gateway")
        ) as channel:
            stub = guarded_pb2_grpc.GuardedStub(channel)
            call = asyncio.ensure_future(_collect(stub))
            await asyncio.sleep(_BUSY_SECONDS)
            relay = asyncio.ensure_future(_relay(listening, str(server.addresses[0]).removeprefix("unix:")))
            try:
                assert await call == guarded_pb2.Response()
            finally:
                relay.cancel()
                await asyncio.gather(relay, return_exceptions=True)


async def _answer(requests: Any, context: Any) -> Any:
    return guarded_pb2.Response()


async def _collect(stub: Any) -> Any:
    # It has no deadline and is never repeated, so it fails with the first attempt to connect that fails.
    return await stub.Collect(iter([guarded_pb2.Request(repository="library/alpine")]))


async def _relay(listening: socket.socket, path: str) -> None:
    accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
    reader, writer = await asyncio.open_connection(sock=accepted)
    onward_reader, onward_writer = await asyncio.open_unix_connection(path)
    try:
        await asyncio.gather(_pump(reader, onward_writer), _pump(onward_reader, writer))
    finally:
        for end in (writer, onward_writer):
            end.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
