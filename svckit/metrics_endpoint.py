"""Serves the metrics of one process to Prometheus, on an address of its own: only where the operator has named one.

    async with metrics_endpoint(metrics, settings.metrics_listen):
        await serve_until_signal(server)

Whoever reaches the address may read them, in plain text: they hold counts, and neither names nor content.
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

# Each request has a thread, which a client that stands still would hold for ever.
_IDLE_SECONDS = 10.0

_log = get_logger(__name__)


class MetricsListenError(StartError):
    """An address that metrics cannot be served on; the text names it and says why."""


def parse_metrics_address(text: str) -> TcpAddress:
    """Reads `HOST:PORT`. There is no short form for all addresses of a machine: whoever means them writes them.

    Raises:
        AddressError: if it is something else.
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
    """Serves metrics while inside. What is to be watched while it drains belongs inside as well.

    Args:
        metrics: of this process.
        listen: the setting `metrics_listen`: HOST:PORT, or "" for no endpoint.

    Yields:
        the address, with the port that it got; None without an endpoint.

    Raises:
        MetricsListenError: if the address is taken, or none of this machine.
    """
    if not listen:
        yield None
        return
    address = parse_metrics_address(listen)
    try:
        # In a thread, because a name may have to be looked up.
        server = await asyncio.to_thread(_Server, address, metrics)
    except OSError as error:
        raise MetricsListenError(f"metrics_listen: cannot serve metrics on {address}: {error.strerror}") from error
    loop = asyncio.get_running_loop()
    # The loop waits for connections: an endpoint that nobody asks has no thread, and wakes nobody up.
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
    """The standard library's: a thread for each request, where the metrics are put together away from the loop."""

    # `handle_request` is called because somebody is there. When they have gone again, it must not wait for the next.
    timeout = 0

    def __init__(self, address: TcpAddress, metrics: Metrics) -> None:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, place = found[0]
        super().__init__((str(place[0]), address.port), _Handler.factory(metrics.registry))
        self.socket.settimeout(0)
        self.address = address.with_port(self.server_port)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service what this host is called, which may take long and serves nothing.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = (str(self.server_address[0]), int(self.server_address[1]))

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has left. socketserver's own prints a traceback.
        _log.debug("metrics_request_failed", error=repr(sys.exception()))
