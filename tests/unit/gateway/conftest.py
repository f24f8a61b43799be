"""A gateway on a real port, over stand-ins of the services behind real gRPC."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import Limits
from svckit.rpc import RpcServer
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.authsvc import PROJECT_ID, Authsvc
from tests.harness.stand_ins.blobsvc import STORE_ID, Blobsvc
from tests.harness.stand_ins.metasvc import Metasvc
from tests.harness.stand_ins.scripted import Scripted
from tests.harness.stand_ins.serving import serve
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.serving import serve_gateway

REPOSITORY = "team/app"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass
class House:
    """A running gateway and what stands behind it."""

    app: Gateway
    port: int
    http: httpx.AsyncClient
    authsvc: Authsvc
    metasvc: Metasvc
    blobsvc: Blobsvc
    servers: dict[str, RpcServer]
    keyring: Keyring
    folder: Path
    server: str
    stop: Callable[[], Awaitable[None]]

    def token(self, *access: tuple[str, str], subject: str = "user:7", expired_seconds: int = 0) -> str:
        entries = [(name, actions, PROJECT_ID) for name, actions in access]
        return self.keyring.registry_token(*entries, subject=subject, expired_seconds=expired_seconds)

    def bearer(self, actions: str = "pull,push,delete", repository: str = REPOSITORY) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token((repository, actions))}"}

    def hold(self, content: bytes, repository: str = REPOSITORY) -> str:
        """Puts a blob there, linked."""
        digest = digest_of(content)
        self.blobsvc.blobs[digest] = content
        self.metasvc.links[repository, digest] = len(content)
        return digest

    async def until_idle(self) -> None:
        """Returns when the gateway has no request under way."""
        await wait_until_async(
            lambda: self.app.in_flight, "the gateway to be idle", wanted=lambda count: count == 0, seconds=10
        )

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


MakeHouse = Callable[..., Awaitable[House]]


@asynccontextmanager
async def running_house(*, placement: str = "stream", **changes: Any) -> AsyncIterator[House]:
    # Not pytest's own folder: its path is too long for a socket.
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
        keyring = Keyring(folder / "trust")
        authsvc, metasvc, blobsvc = Authsvc(keyring), Metasvc(keyring), Blobsvc(keyring)
        stand_ins = {"authsvc": authsvc, "metasvc": metasvc, "blobsvc": blobsvc, "jobsvc": Scripted()}
        servers = await serve(stack, folder, stand_ins, keyring)
        if placement == "file":
            store = folder / "store"
            store.mkdir()
            (store / "store-id").write_text(f"{STORE_ID}\n")
            blobsvc.folder = changes["blob_directory"] = store
        gateway = await serve_gateway(stack, folder, stand_ins, keyring, **changes)
        yield House(
            gateway.app,
            gateway.port,
            gateway.http,
            authsvc,
            metasvc,
            blobsvc,
            servers,
            keyring,
            folder,
            gateway.app.settings.server,
            gateway.stop,
        )


on_both_servers = pytest.mark.parametrize("server", ["hypercorn", "granian"], indirect=True)
"""For the files that test what servers differ in: `pytestmark = on_both_servers`."""


@pytest.fixture(autouse=True)
def server(request: pytest.FixtureRequest) -> str:
    """The HTTP server of the gateways of a test."""
    return str(getattr(request, "param", "hypercorn"))


@pytest.fixture
async def make_house(server: str) -> AsyncIterator[MakeHouse]:
    """Makes gateways with settings of the test's own."""
    async with AsyncExitStack() as stack:

        async def make(limits: Limits | None = None, **changes: Any) -> House:
            limits = limits or Limits(drain_seconds=0.2)
            return await stack.enter_async_context(running_house(limits=limits, **{"server": server, **changes}))

        yield make


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    """A gateway with the usual settings."""
    return await make_house()
