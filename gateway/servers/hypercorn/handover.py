"""Bodies whose bytes stay in the socket until a thread moves them into a file."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Protocol

from gateway.servers.hypercorn.framing import LONGEST_LINE, Framing
from gateway.servers.hypercorn.pipe import Pipe, pipe_of_thread
from gateway.servers.hypercorn.stream import Stream
from gateway.wire.line import Next

# One step moves so many bytes, and takes so long, at most. Others wait for the thread meanwhile.
_STEP_BYTES = 8 * 1024 * 1024
_STEP_SECONDS = 0.05
# A thread waits so long for more bytes. The event loop waits longer, and then the client is slow.
_SHORT_MILLISECONDS = 2
_WAIT_SECONDS = 0.25
# Both are woken when so much has come: each time costs the same, whatever there is.
_WAKE_BYTES = 128 * 1024


class Parser(Protocol):
    """What reads the requests of a connection."""

    @property
    def passed_bytes(self) -> int:
        """How many bytes of the present body it has passed on to the app."""

    @property
    def holds_bytes(self) -> bool:
        """Whether it has bytes that it has not passed on."""

    async def go_on(self, moved_bytes: int) -> None:
        """Goes on with the body, after so many bytes of it went another way."""


class HeldBody:
    """The rest of a body, in its socket; see `wire.line.SocketBody`."""

    def __init__(self, stream: Stream, body: Framing, parser: Parser) -> None:
        """Stops the server from reading. What it has read already comes as usual."""
        stream.hold()
        self._stream = stream
        self._body = body
        self._parser = parser
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._wakes_at = 1
        self.moved_bytes = 0

    async def take(self, received_bytes: int) -> bool | None:
        """As `SocketBody` says."""
        while not self._is_over:
            if self._parser.passed_bytes > received_bytes:
                return None
            if self._stream.is_awaited:
                if self._parser.holds_bytes:
                    return False
                # One of its own: the transport may close the other while a thread uses it.
                self._socket = socket.socket(fileno=os.dup(self._stream.transport.get_extra_info("socket").fileno()))
                self._poll.register(self._socket, select.POLLIN)
                return True
            # The task of the connection has its turn. It has bytes, and nothing else to wait for.
            await asyncio.sleep(0)
        return False

    def move(self, write: Callable[[int, int], None], most_bytes: int) -> Next:
        """As `SocketBody` says."""
        if self._socket is None or self._is_over:
            return Next.GIVE_BACK
        until = time.monotonic() + _STEP_SECONDS
        moved, most_bytes = 0, min(most_bytes, _STEP_BYTES)
        with pipe_of_thread() as pipe:
            while moved < most_bytes and time.monotonic() < until:
                if not self._body.left_bytes and not self._take_line(self._socket):
                    return Next.GIVE_BACK
                count = self._fill(pipe, self._socket, min(self._body.left_bytes, most_bytes - moved))
                if count is None:
                    return Next.WAIT
                if not count:
                    return Next.GIVE_BACK
                pipe.drain(write, count)
                moved += count
        return Next.GO_ON

    async def wait(self) -> bool:
        """As `SocketBody` says."""
        if self._socket is None:
            return False
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        self._wake_at(self._socket, min(self._body.left_bytes, _WAKE_BYTES))
        loop.add_reader(self._socket, arrived.set)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await arrived.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._socket)
        return True

    async def give_back(self) -> None:
        """As `SocketBody` says."""
        if self._socket is not None:
            self._wake_at(self._socket, 1)
            self._socket.close()
        await self._parser.go_on(self.moved_bytes)
        self._stream.release()

    @property
    def _is_over(self) -> bool:
        return self._body.has_ended or self._stream.at_eof or self._stream.transport.is_closing()

    def _take_line(self, connection: socket.socket) -> bool:
        """Takes the line before the next chunk; False if there is none soon, or an unusual one, such as the last."""
        for _ in range(LONGEST_LINE):
            try:
                begun = connection.recv(LONGEST_LINE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                begun = b""
            except OSError:
                return False
            length = self._body.take_line(begun)
            if length:
                connection.recv(length, socket.MSG_DONTWAIT)
                return True
            if length is None or not self._is_ready(connection, len(begun) + 1):
                return False
        return False

    def _fill(self, pipe: Pipe, connection: socket.socket, most_bytes: int) -> int | None:
        """Takes bytes of the body into a pipe. Returns how many; None if there are none soon, and 0 at the end."""
        for _ in range(2):
            try:
                count = pipe.fill(connection.fileno(), most_bytes)
            except BlockingIOError:
                if not self._is_ready(connection, min(most_bytes, _WAKE_BYTES)):
                    return None
            except OSError:
                # The server finds out when it reads.
                return 0
            else:
                # They have left the socket, whatever becomes of them.
                self._body.pass_by(count)
                self.moved_bytes += count
                return count
        return None

    def _is_ready(self, connection: socket.socket, size_bytes: int) -> bool:
        """Waits for so many bytes, or the end, but not for long: it keeps the thread."""
        self._wake_at(connection, size_bytes)
        return bool(self._poll.poll(_SHORT_MILLISECONDS))

    def _wake_at(self, connection: socket.socket, size_bytes: int) -> None:
        if size_bytes != self._wakes_at:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
            self._wakes_at = size_bytes


def held_body(stream: Stream, body: Framing, parser: Parser) -> HeldBody | None:
    """Holds the rest of a body in its socket; None if its bytes cannot be moved, or if it is not worth it.

    Not with TLS, and not on systems other than Linux. Unix sockets do not wake a thread at a number of bytes.
    """
    transport = stream.transport
    if sys.platform != "linux" or transport.get_extra_info("sslcontext") is not None or transport.is_closing():
        return None
    if not isinstance(transport.get_extra_info("peername"), tuple) or body.has_ended or not body.is_usual:
        return None
    return HeldBody(stream, body, parser)
