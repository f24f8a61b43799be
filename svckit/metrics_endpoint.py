"""Serves the metrics of one process to Prometheus, on an address of its own. It is off unless an address is set.

    async with metrics_endpoint(metrics, settings.metrics_listen):
        await serve_until_signal(server)

Anybody who can reach the address may read them, in plain text. They contain counts, but no names and no content.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import asynccontextmanager
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import MetricsHandler

from svckit.errors.start import StartError
from svckit.logging import get_logger
from svckit.rpc.address import AddressError, TcpAddress, parse_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svckit.metrics import Metrics

# Each request has a thread. Without a time-out, a client that sends nothing would occupy it for ever.
_IDLE_SECONDS = 10.0

_log = get_logger(__name__)


class MetricsListenError(StartError):
    """Metrics cannot be served on an address; the text names the address and says why."""

    may_pass = True


def parse_metrics_address(text: str) -> TcpAddress:
    """Reads `HOST:PORT`. There is no short form for "all addresses", so that they are only used on purpose.

    Raises:
        AddressError: the text does not have this form.
    """
    try:
        address = parse_address(text)
    except AddressError:
        address = None
    if isinstance(address, TcpAddress):
        return address
    raise AddressError("allowed: HOST:PORT, such as 127.0.0.1:9411, or nothing at all for no endpoint")


@asynccontextmanager
async def metrics_endpoint(metrics: Metrics, listen: str) -> AsyncIterator[TcpAddress | None]:
    """Serves metrics inside the block. Put the drain of a server inside as well, so that it can be watched.

    Args:
        metrics: the metrics of this process.
        listen: the setting `metrics_listen`: HOST:PORT, or "" for no endpoint.

    Yields:
        the address, with the actual port; None without an endpoint.

    Raises:
        MetricsListenError: the address is in use, or does not belong to this machine.
    """
    if not listen:
        yield None
        return
    address = parse_metrics_address(listen)
    try:
        # In a thread, because looking up a name may block.
        server = await asyncio.to_thread(_Server, address, metrics)
    except OSError as error:
        raise MetricsListenError(f"metrics_listen: cannot serve metrics on {address}: {error.strerror}") from error
    loop = asyncio.get_running_loop()
    # The event loop waits for connections, so an endpoint without requests needs no thread.
    loop.add_reader(server.fileno(), server.handle_request)
    try:
        _log.info("metrics_listening", address=str(server.address))
        yield server.address
    finally:
        loop.remove_reader(server.fileno())
        server.server_close()


class _Handler(MetricsHandler):
    timeout = _IDLE_SECONDS


class _Server(ThreadingHTTPServer):
    """The server of the standard library. Each request has a thread, so that it does not block the event loop."""

    # `handle_request` is called when a client has connected. If the client has disconnected meanwhile, it must not wait
    # for the next one.
    timeout = 0

    def __init__(self, address: TcpAddress, metrics: Metrics) -> None:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, place = found[0]
        super().__init__((str(place[0]), address.port), _Handler.factory(metrics.registry))
        self.socket.settimeout(0)
        self.address = address.with_port(self.server_port)

    def server_bind(self) -> None:
        # HTTPServer.server_bind looks up the name of this host, which may take long and is not needed.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = (str(self.server_address[0]), int(self.server_address[1]))

    def handle_error(self, request: Any, client_address: Any) -> None:
        # The client has disconnected. By default, socketserver would print a traceback.
        _log.debug("metrics_request_failed", error=repr(sys.exception()))
