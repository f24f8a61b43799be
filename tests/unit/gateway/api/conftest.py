"""The gateway on a real port, over stand-ins of authsvc and metasvc behind real gRPC."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypercorn.asyncio import serve as serve_http

import roadstead.auth.v1
import roadstead.meta.v1
from gateway.app import Gateway
from gateway.clients.channels import Channels
from gateway.config import GatewaySettings, Limits
from gateway.server import build_app, hypercorn_config
from svckit.keys import KeyPair
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings, TlsSettings
from svckit.tokens import IdentityToken
from svckit.tokens.signer import ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle
from tests.unit.gateway.api.stand_ins import Allowing, StandIn, tokens_for_alice

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
        trust = TrustBundle(folder / "trust")
        signers = {}
        for service in ("gateway", "authsvc"):
            keys = KeyPair.generate()
            trust.publish(service, keys)
            signers[service] = TokenSigner(service, keys)
        verifier = TokenVerifier(trust)
        stand_ins = {"authsvc": StandIn(), "metasvc": StandIn(), "blobsvc": StandIn()}
        stand_ins["authsvc"].replies["TokenService.CreateIdentityToken"] = tokens_for_alice(signers["authsvc"])
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
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = GatewaySettings(
            listen=(f"fd://{listener.detach()}",),
            limits=Limits(drain_seconds=0.2, json_bytes=4096, request_seconds=5.0),
            **SETTINGS,
        )
        addresses = {service: f"unix:{folder}/{service}.sock" for service in stand_ins}
        channels = Channels.open(addresses, ServiceTokenSource(signers["gateway"]), TlsSettings(), 5.0)
        stack.push_async_callback(channels.close)
        app = build_app(settings, channels, verifier, Metrics("gateway"))
        stop = asyncio.Event()
        serving = asyncio.create_task(
            serve_http(cast("Any", app), hypercorn_config(settings), shutdown_trigger=stop.wait)
        )

        async def end() -> None:
            stop.set()
            await serving

        stack.push_async_callback(end)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v2.0", trust_env=False, timeout=10)
        )
        token = signers["authsvc"].sign(IdentityToken(subject="user:7", kind="user", id=7, name="alice")).text
        yield Api(
            app,
            http,
            stand_ins["authsvc"],
            stand_ins["metasvc"],
            servers,
            {"Authorization": f"Bearer {token}"},
            port,
        )
