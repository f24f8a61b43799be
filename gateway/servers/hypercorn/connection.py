"""One connection of Hypercorn's: from its first byte to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState

from gateway.servers.hypercorn.gated import CONNECTION_KEY
from gateway.servers.hypercorn.remains import REQUEST_BYTES, TLS_BYTES
from gateway.servers.hypercorn.stream import LITTLE_BYTES, RECEIVED_BYTES, Stream
from gateway.wire.connections import Connection, Connections
from gateway.wire.origin import parse_address


class StreamConnection(Connection):
    """A connection that the app can close, and whose pieces are small until it asks for a body."""

    __slots__ = ("stream",)

    def __init__(self, address: str, stream: Stream) -> None:
        """Takes the address of the peer, and the bytes."""
        super().__init__(address)
        self.stream = stream

    def end_request(self) -> None:
        """Counts a request out. After the last one, the pieces are small again."""
        super().end_request()
        if not self.requests:
            self.stream.receive_at_most(LITTLE_BYTES)

    def receive_much(self) -> None:
        """Receives in large pieces."""
        self.stream.receive_at_most(RECEIVED_BYTES)

    def close(self) -> None:
        """Closes it at once."""
        self.stream.transport.abort()


class ServedConnection:
    """Serves one connection, in place of Hypercorn's `TCPServer`.

    Hypercorn's own waits for the idle time-out (75 s) when the client has closed the connection, and keeps its file
    descriptor open until then: 400 requests, each over a new connection, left 400 descriptors open. It also starts and
    cancels two tasks for each request, only to measure how long the connection is idle.

    Attributes:
        left_bytes: what it may leave in memory when it has ended; see `remains`.
    """

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        connections: Connections,
        stream: Stream,
        patience_seconds: float,
    ) -> None:
        """Takes what all connections share, the bytes of this one, and how long a client may not read its last."""
        self._app = app
        self._config = config
        self._context = context
        self._connections = connections
        self._stream = stream
        self._patience_seconds = patience_seconds
        self._peer = _internet_address(stream.transport.get_extra_info("peername"))
        self._connection = StreamConnection(str(parse_address(self._peer and self._peer[0]) or ""), stream)
        self._protocol: ProtocolWrapper
        self._tasks: TaskGroup
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self.left_bytes = 0

    async def run(self) -> None:
        """Serves it until it ends."""
        self._connections.add(self._connection)
        try:
            await self._serve()
        except OSError:
            pass
        finally:
            self._stop_idle_timer()
            try:
                await self._stream.close(self._patience_seconds)
            finally:
                self._connections.remove(self._connection)

    def close_if_idle(self) -> None:
        """Closes it if no request is under way, because the server ends."""
        if self._idle_timer is not None:
            self._close_idle()

    async def _serve(self) -> None:
        transport = self._stream.transport
        tls = transport.get_extra_info("ssl_object")
        loop = asyncio.get_running_loop()
        async with TaskGroup(loop) as self._tasks:
            self._protocol = ProtocolWrapper(
                self._app,
                self._config,
                self._context,
                self._tasks,
                ConnectionState(LifespanState({CONNECTION_KEY: self._connection})),
                tls is not None,
                self._peer,
                _internet_address(transport.get_extra_info("sockname")),
                self._send,
                "http/1.1" if tls is None else tls.selected_alpn_protocol(),
            )
            self.left_bytes = 0 if tls is None else TLS_BYTES
            await self._protocol.initiate()
            self._start_idle_timer()
            while not self._stream.at_eof:
                await self._protocol.handle(RawData(await self._stream.read()))
            self._stop_idle_timer()
            if self._connection.requests:
                self.left_bytes += REQUEST_BYTES
            await self._protocol.handle(Closed())

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            try:
                await self._stream.write(event.data)
            except (ConnectionError, RuntimeError):
                await self._protocol.handle(Closed())
        elif isinstance(event, Closed):
            self._stop_idle_timer()
            self._stream.finish(lingers=True)
        elif isinstance(event, Updated):
            if event.idle:
                self._start_idle_timer()
            else:
                self._stop_idle_timer()

    def _start_idle_timer(self) -> None:
        self._stop_idle_timer()
        if self._context.terminated.is_set():
            self._close_idle()
        elif not self._stream.at_eof:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._config.keep_alive_timeout, self._close_idle)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _close_idle(self) -> None:
        self._idle_timer = None
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        # HTTP/2 says goodbye before it closes.
        await self._protocol.handle(Closed())
        self._stream.finish(lingers=False)


def _internet_address(name: Any) -> tuple[str, int] | None:
    """Host and port of an address; None for a unix socket."""
    return (name[0], name[1]) if isinstance(name, tuple) else None
