"""The bytes of one connection, in both directions, with bounds on what waits in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

RECEIVED_BYTES = 256 * 1024
"""How much is received at once of a body that is being read. Each piece costs the same CPU time, whatever its size:
with 64 KiB, a large upload took a seventh more CPU time in this process."""
LITTLE_BYTES = 16 * 1024
"""How much is received at once otherwise. A head fits into a few of these pieces, and nobody has asked for more yet."""
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 1024 * 1024


class Stream(asyncio.BufferedProtocol):
    """One connection.

    asyncio's own streams have no setting for how much they receive at once, and uvloop's transports none either. Both
    ask a `BufferedProtocol` for the buffer, and so it decides.

    Attributes:
        transport: asyncio's end of it.
    """

    def __init__(self, on_connection: Callable[[Stream], None], room: memoryview) -> None:
        """Waits for the connection.

        Args:
            on_connection: is called when it is there.
            room: where bytes are received. All connections of an event loop share it: nothing else runs before they
                are copied.
        """
        self._on_connection = on_connection
        self._room = room
        self._most = LITTLE_BYTES
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_paused = False
        self._is_on_hold = False
        self._arrival: asyncio.Future[None] | None = None
        self._room_to_write = asyncio.Event()
        self._room_to_write.set()
        self._ended = asyncio.Event()
        self._lost = asyncio.Event()
        self._dropped_bytes = 0
        self._is_ending = False
        self._lingers = False
        self._is_over = False
        self.transport: asyncio.Transport

    @property
    def at_eof(self) -> bool:
        """Whether the client sends no more, and everything has been read."""
        return self._is_over and not self._held

    @property
    def is_awaited(self) -> bool:
        """Whether everything has been read, and somebody waits for more."""
        return self._arrival is not None and not self._arrival.done()

    def hold(self) -> None:
        """Receives nothing more until `release`. What has been received can be read meanwhile."""
        self._is_on_hold = True
        self._pause()

    def release(self) -> None:
        """Receives again."""
        self._is_on_hold = False
        if self._held_bytes < self._most:
            self._resume()

    def receive_at_most(self, size_bytes: int) -> None:
        """Sets how much is received at once. Twice as much, and not more, may wait to be read."""
        self._most = size_bytes

    async def read(self) -> bytes:
        """What has arrived; waits until something has. Empty at the end."""
        while not self._held and not self._is_over:
            self._arrival = asyncio.get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._drop_held()
        return data

    async def write(self, data: bytes) -> None:
        """Sends bytes, and waits while the client is slower than we are.

        Raises:
            ConnectionResetError: the connection is closed.
        """
        if self.transport.is_closing():
            raise ConnectionResetError
        self.transport.write(data)
        if not self._room_to_write.is_set():
            await self._room_to_write.wait()
            if self._lost.is_set():
                raise ConnectionResetError

    def finish(self, *, lingers: bool) -> None:
        """Reads no more: `read` returns the end, and `close` is the next thing to do.

        Args:
            lingers: whether the client may still be sending. Then `close` reads and drops that for a moment: bytes that
                nobody has read reset a connection when it is closed, and the client would lose an answer that it has
                not read yet.
        """
        self._is_over = True
        self._lingers = lingers
        self._held.clear()
        self._wake()

    async def close(self, seconds: float) -> None:
        """Closes it when everything is sent, and waits for that.

        Args:
            seconds: how long the client may take to read what was sent. Without a limit, a client that reads nothing
                would keep its connection for ever.
        """
        self._is_ending = True
        try:
            if self._lingers and self.transport.can_write_eof() and not self.transport.is_closing():
                self.transport.write_eof()
                self._drop_held()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_SECONDS):
                        await self._ended.wait()
            self.transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._lost.wait()
        finally:
            self.transport.abort()

    def _drop_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        self._resume()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self._is_on_hold and not self._lost.is_set():
            self._is_paused = False
            self.transport.resume_reading()

    # The methods below are those that the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast("asyncio.Transport", transport)
        self._on_connection(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive the next bytes."""
        return self._room[: self._most]

    def buffer_updated(self, nbytes: int) -> None:
        """So many have been received."""
        if self._is_ending:
            self._dropped_bytes += nbytes
            if self._dropped_bytes > _LINGER_BYTES:
                self._ended.set()
            return
        self._held.append(bytes(self._room[:nbytes]))
        self._held_bytes += nbytes
        if self._held_bytes >= self._most:
            self._pause()
        self._wake()

    def eof_received(self) -> bool:
        """The client sends no more. What it has asked for is still sent, if the transport can do that."""
        self._is_over = True
        self._ended.set()
        self._wake()
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._is_over = True
        self._ended.set()
        self._lost.set()
        self._room_to_write.set()
        self._wake()

    def pause_writing(self) -> None:
        """Enough waits to be sent."""
        self._room_to_write.clear()

    def resume_writing(self) -> None:
        """Little waits to be sent."""
        self._room_to_write.set()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
