"""A server with the contract of `guarded.proto` on a unix socket, and clients for it."""

import io
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from svckit import logging as svckit_logging
from svckit.metrics import Metrics
from svckit.rpc import RpcChannel, RpcServer, RpcServerSettings, open_channel
from svckit.tokens.signer import ServiceTokenSource
from tests.harness.stand_ins.access import People
from tests.unit.svckit.rpc.contract import guarded_pb2_grpc
from tests.unit.svckit.rpc.watching import Log as FollowedLog
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

StartServer = Callable[..., Awaitable[RpcServer]]


@pytest.fixture(scope="session")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def installation(_keys: Installation) -> Installation:
    return _keys


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def servicer() -> GuardedServicer:
    return GuardedServicer()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("metasvc")


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A folder with a short path: pytest's own are too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        yield Path(folder)


@pytest.fixture
async def start_server(
    installation: Installation, people: People, servicer: GuardedServicer, metrics: Metrics, socket_dir: Path
) -> AsyncIterator[StartServer]:
    """Starts servers, and stops them when the test ends."""
    started: list[RpcServer] = []

    async def start(*, checker: Any = people, caller_tokens: Any = None, **settings: Any) -> RpcServer:
        settings.setdefault("listen", (f"unix:{socket_dir}/s",))
        settings.setdefault("drain_seconds", 0)
        more = {} if caller_tokens is None else {"caller_tokens": caller_tokens}
        server = RpcServer(
            "metasvc",
            RpcServerSettings(**settings),
            verifier=installation.verifier,
            checker=checker,
            metrics=metrics,
            **more,
        )
        server.add(guarded_pb2_grpc.add_GuardedServicer_to_server, servicer)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.drain(0)


@pytest.fixture
async def stub(start_server: StartServer) -> AsyncIterator[Any]:
    """A plain gRPC client of a server, as a platform caller would make it."""
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        yield guarded_pb2_grpc.GuardedStub(channel)


Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log() -> Iterator[Log]:
    """Reads what has been logged, as the objects that a log collector gets."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    svckit_logging.configure("metasvc", "debug", "json", written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def watched(servicer: GuardedServicer) -> FollowedLog:
    log = FollowedLog()
    servicer.instead["Watch"] = log.watch
    return log


@pytest.fixture
async def tokens(installation: Installation) -> ServiceTokenSource:
    return installation.keyring.service_tokens("gateway")


@pytest.fixture
async def channel(start_server: Any, tokens: ServiceTokenSource) -> AsyncIterator[RpcChannel]:
    server = await start_server()
    async with open_channel(str(server.addresses[0]), service_tokens=tokens) as channel:
        yield channel
