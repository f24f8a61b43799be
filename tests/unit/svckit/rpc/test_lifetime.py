"""Signals, and the death of a parent: with processes of their own."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from svckit.rpc.lifetime import serve_until_signal
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation


class _Server:
    """Counts what `serve_until_signal` does with a server."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.serving = asyncio.Event()
        self.drained = asyncio.Event()
        self.drain_takes_long = False

    async def start(self) -> None:
        self.events.append("start")

    def set_serving(self) -> None:
        self.events.append("serving")
        self.serving.set()

    async def wait_until_stopped(self) -> None:
        await self.drained.wait()

    async def drain(self, grace_seconds: float | None = None) -> None:
        self.events.append(f"drain {grace_seconds}")
        if self.drain_takes_long and grace_seconds is None:
            await self.drained.wait()
        self.drained.set()


async def _prepare() -> None:
    pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(number: signal.Signals) -> None:
    server: Any = _Server()
    running = asyncio.ensure_future(serve_until_signal(server, _prepare))
    await server.serving.wait()
    os.kill(os.getpid(), number)
    await asyncio.wait_for(running, 5)
    assert server.events == ["start", "serving", "drain None"]


async def test_a_second_signal_ends_the_grace() -> None:
    server: Any = _Server()
    server.drain_takes_long = True
    running = asyncio.ensure_future(serve_until_signal(server))
    await server.serving.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await wait_until_async(lambda: server.events, "the drain", wanted=lambda events: "drain None" in events)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)
    assert server.events == ["start", "serving", "drain None", "drain 0"]


async def test_a_server_that_cannot_prepare_never_serves() -> None:
    async def breaks() -> None:
        raise LookupError("no database")

    server: Any = _Server()
    with pytest.raises(LookupError):
        await serve_until_signal(server, breaks)
    assert server.events == ["start", "drain None"]


async def test_a_real_server_answers_until_the_signal(
    start_server: Any, servicer: GuardedServicer, installation: Installation, socket_dir: Path
) -> None:
    from svckit.metrics import Metrics
    from svckit.rpc import RpcServer, RpcServerSettings

    server = RpcServer(
        "metasvc",
        RpcServerSettings(listen=(f"unix:{socket_dir}/s",), drain_seconds=5),
        verifier=installation.verifier,
        metrics=Metrics("metasvc"),
    )
    server.add(guarded_pb2_grpc.add_GuardedServicer_to_server, servicer)
    serving = asyncio.Event()

    async def prepare() -> None:
        serving.set()

    running = asyncio.ensure_future(serve_until_signal(server, prepare))
    await serving.wait()
    async with grpc.aio.insecure_channel(f"unix:{socket_dir}/s") as channel:
        await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 10)
    assert not (socket_dir / "s").exists()
