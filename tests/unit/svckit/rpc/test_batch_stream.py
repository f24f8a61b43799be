"""Batches that come one after the other over one call: each is judged, bounded and counted as one that comes alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.errors.status import from_rpc_error
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, batch_stream
from tests.unit.svckit.rpc.conftest import StartServer
from tests.unit.svckit.rpc.contract import guarded_pb2
from tests.unit.svckit.rpc.test_members import CALLERS, heard, member
from tests.unit.svckit.rpc.watching import PATIENCE_SECONDS, client_of, count_of, counted
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

METHOD = "/roadstead.guarded.v1.Guarded/PullInTurn"


class Turns:
    """An open call."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def ask(self, *members: Any) -> list[str]:
        """What the members of one more batch hear."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.call.write(guarded_pb2.PullAllRequest(members=members))
            answer = await self.call.read()
        assert answer is not grpc.aio.EOF
        return [heard(each) for each in answer.answers]

    async def refusal(self, *members: Any) -> str:
        """Why one more batch ends the call."""
        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
            await self.ask(*members)
        return await self.end()

    async def end(self) -> str:
        """Why the call has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            code = await self.call.code()
            metadata = await self.call.trailing_metadata()
        error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata)
        return "" if code is grpc.StatusCode.OK else from_rpc_error(error).reason


@pytest.fixture
def turns(installation: Installation) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(server: RpcServer, service: str = "gateway", **metadata: str) -> AsyncIterator[Turns]:
        pairs = {"x-roadstead-service": installation.service(service), **metadata}
        async with client_of(server) as stub:
            yield Turns(stub.PullInTurn(metadata=tuple(pairs.items())))

    return opened


def calls(metrics: Metrics, code: str) -> float:
    labels = {"service": "metasvc", "method": METHOD, "code": code}
    return metrics.registry.get_sample_value("rpc_server_handled_total", labels) or 0.0


async def test_each_batch_is_judged_for_itself_and_leaves_nothing_behind(
    turns: Any, start_server: StartServer, installation: Installation
) -> None:
    callers = {name: (member(token(installation)), expected) for name, (token, expected) in CALLERS.items()}
    async with turns(await start_server()) as stream:
        for name, (each, expected) in callers.items():
            assert await stream.ask(each) == [expected], name
        together = [each for each, _ in callers.values()]
        assert await stream.ask(*together) == [expected for _, expected in callers.values()]
        assert await stream.ask() == []


async def test_the_members_of_a_batch_are_counted_at_once_and_each_by_its_own_code(
    turns: Any,
    start_server: StartServer,
    installation: Installation,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[tuple[str, int]] = []
    observe = metrics.observe_rpc

    def noted(method: str, code: str, seconds: float, times: int = 1) -> None:
        counted.append((code, times))
        observe(method, code, seconds, times)

    monkeypatch.setattr(metrics, "observe_rpc", noted)
    good, bad = member(installation.registry()), member("x.y.z")
    async with turns(await start_server()) as stream:
        assert await stream.ask(good, bad, *[good] * 10, bad) == ["ok", "UNAUTHORIZED", *["ok"] * 10, "UNAUTHORIZED"]
        # A batch is counted before the next one is read.
        assert await stream.ask() == []
        assert counted == [("OK", 11), ("UNAUTHENTICATED", 2)]
        assert (calls(metrics, "OK"), calls(metrics, "UNAUTHENTICATED")) == (11, 2)


async def test_only_the_service_that_the_rule_names_opens_one(
    turns: Any, start_server: StartServer, installation: Installation
) -> None:
    server = await start_server()
    async with turns(server, "blobsvc") as stream:
        assert await stream.end() == "FORBIDDEN"
    async with client_of(server) as stub:
        bearer = (("authorization", f"Bearer {installation.registry()}"),)
        assert await Turns(stub.PullInTurn(metadata=bearer)).end() == "UNAUTHORIZED"


async def test_bounds_hold_for_each_batch(turns: Any, start_server: StartServer, installation: Installation) -> None:
    good = member(installation.registry())
    async with turns(await start_server()) as stream:
        assert await stream.ask(good) == ["ok"]
        assert await stream.refusal(*[good] * 65) == "BAD_REQUEST"


async def test_an_idle_stream_takes_no_place_among_the_calls_and_a_batch_does(
    turns: Any, start_server: StartServer, installation: Installation, servicer: GuardedServicer, metrics: Metrics
) -> None:
    release, started = asyncio.Event(), asyncio.Event()

    async def waits(request: Any, context: Any) -> Any:
        started.set()
        await release.wait()
        return guarded_pb2.Response()

    servicer.instead["Append"] = waits
    server = await start_server(max_in_flight=1, in_flight_share_without_credentials=1)
    good = member(installation.registry())
    async with turns(server) as stream, client_of(server) as stub:
        for _ in range(3):
            assert await stream.ask(good) == ["ok"]
        # It has the place until the next one is waited for.
        await counted(metrics, in_flight=0, long_streams=1)
        append = stub.Append(guarded_pb2.Request())
        await started.wait()
        assert await stream.refusal(good) == "OVERLOADED"
        release.set()
        await append
    await counted(metrics, in_flight=0, long_streams=0)


async def test_members_are_counted_and_so_is_the_call_itself(
    turns: Any, start_server: StartServer, installation: Installation, servicer: GuardedServicer, metrics: Metrics
) -> None:
    async def fails(members: Any) -> Any:
        raise RuntimeError("the database is gone")

    good, bad = member(installation.registry()), member("x.y.z")
    async with turns(await start_server()) as stream:
        await stream.ask(good, bad)
        await stream.ask(good)
        servicer.instead["PullAll"] = fails
        assert await stream.refusal(good, good) == "INTERNAL"
    await counted(metrics, long_streams=0)
    # Two of the last batch, and the call.
    assert [calls(metrics, code) for code in ("OK", "UNAUTHENTICATED", "INTERNAL")] == [2, 1, 3]


async def test_it_ends_when_the_server_stops(turns: Any, start_server: StartServer, installation: Installation) -> None:
    server = await start_server(drain_seconds=5)
    async with turns(server) as stream:
        assert await stream.ask(member(installation.registry())) == ["ok"]
        async with asyncio.timeout(4):
            await asyncio.gather(server.drain(), stream.end())
        assert await stream.end() == "GOING_AWAY"


async def test_it_ends_after_the_time_for_which_its_token_was_judged(
    turns: Any, start_server: StartServer, installation: Installation, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    monkeypatch.setattr(batch_stream, "LONGEST_SECONDS", 0.0)
    async with turns(await start_server()) as stream:
        assert await stream.end() == ""
    await counted(metrics, long_streams=0)
    assert count_of(metrics, "in_flight") == 0
