"""A gateway on a real port, in front of whatever serves on the sockets in a folder."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.app import Gateway
from gateway.clients.channels import Channels
from gateway.config import GatewaySettings
from gateway.server import build_app
from gateway.servers.chosen import serve_http
from svckit.configuration.reader import ConfigurationReader
from svckit.metrics import Metrics
from svckit.rpc import open_channel
from tests.harness.keyring import Keyring
from tests.harness.plain_http import NO_TLS
from tests.harness.stand_ins.serving import address_in


@dataclass
class ServedGateway:
    """A running gateway.

    Attributes:
        app: itself.
        port: on 127.0.0.1.
        http: calls it, as nobody.
        stop: ends it.
        configuration: what it knows of the runtime configuration. Nothing refreshes it.
    """

    app: Gateway
    port: int
    http: httpx.AsyncClient
    stop: Callable[[], Awaitable[None]]
    configuration: ConfigurationReader


async def serve_gateway(
    stack: AsyncExitStack,
    folder: Path,
    services: Iterable[str],
    keyring: Keyring,
    **changes: Any,
) -> ServedGateway:
    """Serves until the stack is left.

    Args:
        stack: ends it.
        folder: holds the services' sockets.
        services: their names.
        keyring: the gateway's own key is in it.
        changes: to the settings.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = GatewaySettings(listen=(f"fd://{listener.detach()}",), **changes)
    tokens = keyring.service_tokens("gateway")
    channels = {
        service: await stack.enter_async_context(
            open_channel(address_in(folder, service), service_tokens=tokens, timeout_seconds=5.0)
        )
        for service in services
    }
    configuration = ConfigurationReader(channels["authsvc"])
    app = build_app(settings, Channels(channels), configuration, keyring.verifier(), Metrics("gateway"))
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_http(app, settings, stop.wait))

    async def end() -> None:
        stop.set()
        await asyncio.wait([serving])
        serving.result()

    stack.push_async_callback(end)
    http = await stack.enter_async_context(
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60, verify=NO_TLS)
    )
    return ServedGateway(app, port, http, end, configuration)
