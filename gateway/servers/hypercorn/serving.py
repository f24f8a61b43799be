"""Serves the app by Hypercorn."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.logging import Logger

from gateway.config import GatewaySettings
from gateway.servers.hypercorn import http2, quick
from gateway.servers.hypercorn.connection import ServedConnection
from gateway.servers.hypercorn.remains import Remains
from gateway.servers.hypercorn.stream import RECEIVED_BYTES, Stream
from gateway.servers.listen import BACKLOG, listening
from gateway.servers.served import ServedApp
from svckit import logging

_TLS_HANDSHAKE_SECONDS = 60.0


async def serve(app: ServedApp, settings: GatewaySettings, until: Callable[[], Awaitable[object]]) -> None:
    """Serves until told to stop, then waits for the requests in flight.

    Args:
        app: the app.
        settings: the settings.
        until: returns when it is time to stop.

    Raises:
        OSError: an address cannot be bound.
    """
    quick.install()
    http2.install()
    config = _hypercorn_config(settings)
    context = WorkerContext(None)
    loop = asyncio.get_running_loop()
    tls = config.create_ssl_context() if config.ssl_enabled else None
    room = memoryview(bytearray(RECEIVED_BYTES))
    open_connections: dict[asyncio.Task[None], ServedConnection] = {}
    remains = Remains()

    def connected(stream: Stream) -> None:
        connection = ServedConnection(
            ASGIWrapper(cast("Any", app)), config, context, app.connections, stream, settings.limits.idle_body_seconds
        )
        task = loop.create_task(connection.run())
        open_connections[task] = connection
        task.add_done_callback(partial(_ended, open_connections, remains))

    loop.set_exception_handler(_handle_exception)
    with listening(settings.listen) as sockets:
        servers = [
            await loop.create_server(
                partial(Stream, connected, room),
                sock=each,
                backlog=BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _TLS_HANDSHAKE_SECONDS,
            )
            for each in sockets
        ]
        try:
            await until()
        finally:
            await context.terminated.set()
            for server in servers:
                server.close()
            for connection in list(open_connections.values()):
                connection.close_if_idle()
            await _drain(list(open_connections), settings.limits.drain_seconds)


async def _drain(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)


def _ended(connections: dict[asyncio.Task[None], ServedConnection], remains: Remains, task: asyncio.Task[None]) -> None:
    remains.add(connections.pop(task).left_bytes)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("connection failed", exc_info=error)


def _handle_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A client that breaks off its handshake is no event here.
    if not isinstance(context.get("exception"), ssl.SSLError):
        loop.default_exception_handler(context)


def _hypercorn_config(settings: GatewaySettings) -> Config:
    """Hypercorn's settings, made from the gateway's."""
    limits = settings.limits
    config = Config()
    config.keep_alive_timeout = cast("int", limits.keep_alive_seconds)
    # Clients such as containerd send all requests on one connection, a thousand a minute. The default limit is too low.
    config.keep_alive_max_requests = 1_000_000
    # The app refuses requests above the limit with a proper error. Hypercorn, which sends no body, only refuses
    # requests above twice the limit.
    config.h11_max_incomplete_size = 2 * limits.header_bytes
    config.h2_max_header_list_size = 2 * limits.header_bytes
    # How many pieces of a body, of 256 KiB at most, may wait for the app. Two: the end of a request and that of its
    # connection must fit, because nothing reads them in the case of an app that has ended.
    config.max_app_queue_size = 2
    config.include_server_header = False
    config.logger_class = _ServerLog
    if settings.tls_certificate_file is not None and settings.tls_key_file is not None:
        config.certfile = str(settings.tls_certificate_file)
        config.keyfile = str(settings.tls_key_file)
    return config


class _ServerLog(Logger):
    """Sends Hypercorn's logs to the gateway's log. The app writes the access log, not Hypercorn."""

    def __init__(self, config: Config) -> None:
        config.accesslog = None
        config.errorlog = None
        super().__init__(config)
        self.error_logger = cast("Any", logging.get_logger("hypercorn.error"))

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        """Not used."""


_log = logging.get_logger(__name__)
