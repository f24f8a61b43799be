"""What the tests of long streams share: a list that is followed, a connection that can be cut, and counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from svckit.errors import DomainError
from svckit.errors.status import from_rpc_error
from svckit.metrics import Metrics
from svckit.rpc import FollowedPage, Notifier, RpcServer, follow
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc

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
