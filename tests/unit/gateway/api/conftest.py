"""The gateway on a real port, over stand-ins of authsvc and metasvc behind real gRPC."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import Limits
from svckit.configuration.reader import ConfigurationReader
from svckit.rpc import RpcServer
from svckit.services import RPC_SERVICES
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.scripted import Scripted
from tests.harness.stand_ins.serving import serve
from tests.unit.gateway.api.stand_ins import tokens_for_alice
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
        configuration: what it knows of the runtime configuration.
    """

    app: Gateway
    http: httpx.AsyncClient
    authsvc: Scripted
    metasvc: Scripted
    servers: dict[str, RpcServer]
    alice: dict[str, str]
    port: int
    configuration: ConfigurationReader


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-")))
        keyring = Keyring(folder / "trust")
        stand_ins = {service: Scripted() for service in RPC_SERVICES}
        stand_ins["authsvc"].replies["TokenService.CreateIdentityToken"] = tokens_for_alice(keyring)
        servers = await serve(stack, folder, stand_ins, keyring)
        (folder / "ca.crt").write_bytes(b"PEM")
        gateway = await serve_gateway(
            stack,
            folder,
            stand_ins,
            keyring,
            ca_certificate_file=folder / "ca.crt",
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
            gateway.configuration,
        )
