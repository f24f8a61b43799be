"""Requests that begin and do not end hold a bounded memory, and are given up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from svckit.rpc.late_requests import MAXIMUM_MESSAGE_BYTES
from svckit.rpc.server import RpcServer
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.world import Installation

PUBLIC = "/roadstead.guarded.v1.Guarded/Public"
UPLOAD = "/roadstead.guarded.v1.Guarded/WriteUpload"
CHECK = "/grpc.health.v1.Health/Check"


class Client:
    """An HTTP/2 client that begins calls whose first request lacks its end."""

    def __init__(self, server: RpcServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self.writer = writer
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http2.initiate_connection()

    def begin(self, method: str, count: int, token: str | None = None) -> None:
        for _ in range(count):
            stream = self._http2.get_next_available_stream_id()
            fields = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": method, "te": "trailers"}
            fields |= {"content-type": "application/grpc"}
            if token is not None:
                fields["authorization"] = f"Bearer {token}"
            self._http2.send_headers(stream, list(fields.items()))
            self._http2.send_data(stream, b"\0" + (15 * 1024 * 1024).to_bytes(4, "big") + b"a")
        self.writer.write(self._http2.data_to_send())

    async def refusals(self, count: int) -> list[str]:
        """What is said of this many calls that end."""
        found: list[str] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                for event in self._http2.receive_data(await self._reader.read(65536)):
                    if isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                        named: dict[Any, Any] = dict(event.headers)
                        if "grpc-status" in named:
                            found.append(named["grpc-status"])
        return found

    async def held(self, requests: int) -> None:
        await wait_until_async(
            lambda: self._server.messages.held_bytes,
            "the memory of late requests",
            wanted=lambda held: held == requests * MAXIMUM_MESSAGE_BYTES,
            seconds=20,
        )


@pytest.fixture
async def client(start_server: Any) -> AsyncIterator[Client]:
    server = await start_server(listen=("127.0.0.1:0",))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.addresses[0].port)
    yield Client(server, reader, writer)
    writer.transport.abort()


@pytest.mark.parametrize("method", [PUBLIC, UPLOAD, CHECK])
async def test_strangers_hold_their_share_with_requests_that_do_not_end(
    client: Client, installation: Installation, method: str
) -> None:
    client.begin(method, 10)
    # RESOURCE_EXHAUSTED: two of the largest requests fill the share of a caller.
    assert await client.refusals(8) == ["8"] * 8
    await client.held(2)
    client.begin(PUBLIC, 3, installation.user(7))
    assert await client.refusals(1) == ["8"]
    await client.held(4)
    client.writer.transport.abort()
    await client.held(0)


async def test_a_request_that_does_not_end_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.rpc.late_requests._LONGEST_SECONDS", 0.2)
    client.begin(PUBLIC, 1)
    # ABORTED.
    assert await client.refusals(1) == ["10"]
    await client.held(0)
