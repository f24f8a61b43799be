"""Hypercorn's HTTP/2, with fixes for which Hypercorn has no setting (hypercorn 0.18)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hypercorn.protocol
import hypercorn.protocol.h2
from hypercorn.events import Closed, Event
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, H2Protocol, StreamBuffer

from gateway.servers.hypercorn.gated import BodyWanted, GatedStream, StreamBroken
from gateway.wire.errors import error_for_path
from svckit.errors import DomainError, error_for
from svckit.logging import get_logger

log = get_logger(__name__)

_WINDOW_BYTES = 1024 * 1024
"""How much a client may send ahead on one stream, and on the whole connection.

With the protocol's default of 64 KiB, an upload moves 64 KiB for each round trip: 3 MB/s at 20 ms. Data that is not
read stays in the socket, so a larger window costs no memory here.
"""


# A client that has opened requests may change its mind. One that does nothing else attacks ("rapid reset").
_RESETS_ALLOWED = 100


class BoundedBuffer(StreamBuffer):
    """What waits to be sent on one stream. The app waits while there is much of it.

    Hypercorn's own lets the app go on each time that it looks for something to send, also if the client allows nothing.
    So a client without a window got whole blobs into this process's memory.
    """

    async def push(self, data: bytes) -> None:
        """Adds data, and waits while the buffer is full."""
        if len(self.buffer) + len(data) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
        await super().push(data)

    async def pop(self, max_length: int) -> bytes:
        """Takes the beginning, and lets the app go on when little is left."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class LargeWindowHttp2(H2Protocol):
    """Lets uploads use the whole bandwidth, and keeps the connection when one request is refused."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Has the signature that Hypercorn calls."""
        super().__init__(*args, **named)
        self._resets = 0
        values: dict[Any, int] = dict(self.connection.local_settings.items())
        values[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = _WINDOW_BYTES
        # There are no websockets here (RFC 8441).
        values[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 0
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=values)

    async def handle(self, event: Event) -> None:
        """Handles what comes from the connection.

        Hypercorn leaves what waits to be sent where it is when the connection ends. Then requests wait in vain until
        their time is up, and a client that opens and closes connections fills the memory.
        """
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()
            self.stream_buffers.clear()

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        """Begins the connection, and makes its window as large as that of each stream."""
        await super().initiate(headers, settings)
        self.connection.increment_flow_control_window(_WINDOW_BYTES)
        await self._flush()

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        pseudo = {name: value for name, value in request.headers or () if name.startswith(b":")}
        if pseudo.get(b":method", b"").upper() == b"CONNECT":
            refusal = error_for("UNSUPPORTED", "this server is no proxy, and has no websockets")
        elif not (pseudo[b":path"].isascii() and pseudo[b":method"].isascii()):
            refusal = error_for("BAD_REQUEST", "method and path of a request must be ASCII")
        else:
            await super()._create_stream(request)
            return
        await self._refuse(request.stream_id or 0, pseudo.get(b":path", b"").decode("latin-1"), refusal)

    async def _refuse(self, stream_id: int, path: str, refusal: DomainError) -> None:
        """Answers a request that Hypercorn could only answer by closing the connection. The app does not see it."""
        answer = error_for_path(path, refusal)
        body = answer.whole_body
        log.info("request refused", status=answer.status, why=refusal.message, client=self.client and self.client[0])
        headers = [(":status", str(answer.status)), ("content-length", str(len(body)))]
        headers += [(name.lower(), value) for name, value in answer.headers]
        # The client may have ended the stream meanwhile, or may allow no data.
        with suppress(h2.exceptions.ProtocolError):
            self.connection.send_headers(stream_id, headers)
            self.connection.send_data(stream_id, body, end_stream=True)
        await self._flush()

    async def stream_send(self, event: Any) -> None:
        """Sends what a request has to send. Its wish for the body needs nothing here: HTTP/2 clients do not ask."""
        if isinstance(event, StreamBroken):
            with suppress(h2.exceptions.ProtocolError):
                self.connection.reset_stream(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            buffer = self.stream_buffers.get(event.stream_id)
            if buffer is not None:
                await buffer.close()
            await self._flush()
        elif not isinstance(event, BodyWanted):
            await super().stream_send(event)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        # A request that is taken back in the same piece of data does not reach the app. To serve it would cost much
        # more than to send it.
        taken_back = {event.stream_id for event in events if isinstance(event, h2.events.StreamReset)}
        # The events are handled one at a time: each may close a stream that a later one belongs to.
        for event in events:
            if isinstance(event, h2.events.RequestReceived) and event.stream_id in taken_back:
                self.keep_alive_requests += 1
                continue
            if isinstance(event, h2.events.StreamReset):
                self._resets += 1
                if self._resets > _RESETS_ALLOWED and self._resets > self.keep_alive_requests // 2:
                    log.warning("connection closed", why="resets", client=self.client and self.client[0])
                    await self.send(Closed())
                    return
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # This request is answered already. Hypercorn would look up the stream, fail, and close the whole
                # connection. So the data is acknowledged and dropped. A reset would be correct as well, but some
                # clients wait on after one.
                with suppress(h2.exceptions.ProtocolError):
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()


def install() -> None:
    """Makes Hypercorn use this class in this process. Hypercorn has no setting for it."""
    protocols: Any = hypercorn.protocol
    protocols.H2Protocol = LargeWindowHttp2
    streams: Any = hypercorn.protocol.h2
    streams.HTTPStream = GatedStream
    streams.StreamBuffer = BoundedBuffer
