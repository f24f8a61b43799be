"""The gateway on a real port, over stand-ins of authsvc and metasvc behind real gRPC."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import roadstead.auth.v1
import roadstead.meta.v1
from gateway.app import Gateway
from gateway.config import Limits
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings
from tests.harness.keyring import Keyring
from tests.unit.gateway.api.stand_ins import Allowing, StandIn, tokens_for_alice
from tests.unit.gateway.serving import serve_gateway

SETTINGS: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",)}


@dataclass
class Api:
    """A running gateway.

    Attributes:
        http: calls it, as nobody.
        authsvc: what stands behind it, as `metasvc` does.
        servers: theirs, to be stopped.
        alice: the Authorization header of a user.
    """

    app: Gateway
    http: httpx.AsyncClient
    authsvc: StandIn
    metasvc: StandIn
    servers: dict[str, RpcServer]
    alice: dict[str, str]
    port: int


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
        keyring = Keyring(folder / "trust")
        verifier = keyring.verifier()
        stand_ins = {"authsvc": StandIn(), "metasvc": StandIn(), "blobsvc": StandIn()}
        stand_ins["authsvc"].replies["TokenService.CreateIdentityToken"] = tokens_for_alice(keyring)
        contracts = {"authsvc": roadstead.auth.v1, "metasvc": roadstead.meta.v1}
        servers = {}
        for service, stand_in in stand_ins.items():
            listen = RpcServerSettings(listen=(f"unix:{folder}/{service}.sock",))
            server = RpcServer(service, listen, verifier=verifier, metrics=Metrics(service), checker=Allowing())
            if service in contracts:
                stand_in.register(server, contracts[service])
            await server.start()
            server.set_serving()
            stack.push_async_callback(server.drain, 0)
            servers[service] = server
        gateway = await serve_gateway(
            stack,
            folder,
            stand_ins,
            keyring,
            limits=Limits(drain_seconds=0.2, json_bytes=4096, request_seconds=5.0),
            **SETTINGS,
        )
        gateway.http.base_url = gateway.http.base_url.join("/api/v2.0")
        yield Api(
            gateway.app,
            gateway.http,
            stand_ins["authsvc"],
            stand_ins["metasvc"],
            servers,
            {"Authorization": f"Bearer {keyring.identity_token(name='alice')}"},
            gateway.port,
        )
