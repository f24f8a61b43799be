"""One listening socket, served by Granian in a thread of its own.

Granian's public servers bind their addresses themselves, start processes, and set up the logs of the whole process.
None of that may happen here, so this file alone calls what is below them. It was written for Granian 2.8.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from granian import _futures, _granian
from granian.http import HTTP1Settings, HTTP2Settings

from gateway.config import GatewaySettings
from gateway.servers.listen import BACKLOG

# Its type stubs do not fit these.
_rust: Any = _granian
_tasks: Any = _futures

_BLOCKING_THREADS = 512
_PYTHON_THREADS = 1
_THREAD_IDLE_SECONDS = 30
_LEAST_BUFFER_BYTES = 128 * 1024
"""hyper reads this much of a connection at once, and a piece of a body is not larger.

Each piece wakes several threads, so larger ones take less CPU time (docs/performance.md). But anybody can make hyper
keep so much of a head that does not end, on each connection.
"""
_WINDOW_BYTES = 1024 * 1024

Serve = Callable[[Any, Any], Awaitable[None]]
"""Serves one request: its scope, and Granian's object that receives and sends."""


class Worker:
    """Accepts the connections of one socket, and serves their requests."""

    def __init__(self, settings: GatewaySettings, listener: socket.socket, serve: Serve) -> None:
        """Starts it.

        Args:
            settings: the settings.
            listener: the socket.
            serve: is called in this event loop, in a task of its own for each request.

        Raises:
            OSError: the certificate or its key cannot be read.
        """
        # Its lines at INFO say what the log of requests says.
        logging.getLogger("_granian").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._signal = _rust.WorkerSignal()
        self._signal.add_cb(lambda: loop.call_soon_threadsafe(self._ended.set_result, None))
        is_unix = listener.family == socket.AF_UNIX
        # Granian closes the descriptor that it is given.
        holder = _rust.SocketHolder(os.dup(listener.fileno()), is_unix, BACKLOG)
        worker: Any = _rust.ASGIWorker(
            1,
            (None, holder),
            None,
            1,
            _BLOCKING_THREADS,
            _PYTHON_THREADS,
            _THREAD_IDLE_SECONDS,
            _most_connections(settings),
            "auto",
            _http1(settings),
            _http2(settings),
            False,  # noqa: FBT003 - no websockets
            None,
            *_tls(settings),
            (None, None),
        )

        async def serve_one(request: Any) -> None:
            try:
                await serve(request.scope, request.proto)
            finally:
                # Ends an answer that is not complete so that the client knows it.
                request.done()

        scheduler = _tasks._new_cbscheduler(loop, serve_one, impl_asyncio=True)  # noqa: SLF001 - see above
        (worker.serve_async_uds if is_unix else worker.serve_async)(scheduler, loop, self._signal)

    def stop(self) -> None:
        """Accepts no more connections, and closes each when its requests are served."""
        self._signal.set()

    async def wait(self) -> None:
        """Returns when the last connection has ended. Needs `stop` first."""
        await asyncio.shield(self._ended)


def _most_connections(settings: GatewaySettings) -> int:
    """How many connections Granian accepts. Beyond this, clients wait in the queue of the socket.

    `Peers` closes what is above the limit, but only after a moment. Meanwhile, newcomers must get in.
    """
    return 2 * settings.limits.connections


def _http1(settings: GatewaySettings) -> HTTP1Settings:
    limits = settings.limits
    return HTTP1Settings(
        header_read_timeout=round(1000 * limits.keep_alive_seconds),
        keep_alive=True,
        # Heads above the limit of the app, which refuses them with a proper error, and the pieces of bodies.
        max_buffer_size=max(2 * limits.header_bytes, _LEAST_BUFFER_BYTES),
        pipeline_flush=False,
    )


def _http2(settings: GatewaySettings) -> HTTP2Settings:
    return HTTP2Settings(
        # How much a client may send ahead: what is not read waits in memory here. A body that is refused is dropped at
        # once, and so is what has come of it.
        initial_stream_window_size=_WINDOW_BYTES,
        initial_connection_window_size=_WINDOW_BYTES,
        max_headers_size=2 * settings.limits.header_bytes,
        max_concurrent_streams=100,
    )


def _tls(settings: GatewaySettings) -> tuple[Any, ...]:
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        return (False, None, None, None, "tls1.2", None, [], False)
    # Rust would end the process at the first fault of these files.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    return (True, str(certificate), str(key), None, "tls1.2", None, [], False)
