"""Request bodies that are pulled from the server as they are read, with nothing in between that could grow.

Quart's own body takes whatever the client sends into memory, whether or not anybody reads it. This one asks the ASGI
server for the next piece only when the route wants it: the server's short queue fills, and TCP slows the client down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

from quart.wrappers.request import Body
from werkzeug.exceptions import RequestEntityTooLarge

from svckit.errors import DomainError, error_for

CHUNK_BYTES = 1024 * 1024
"""What is handed on at once: gRPC moves pieces of this size fastest."""

Receive = Callable[[], Awaitable[Any]]

# asyncio keeps weak references only.
_swallowing: set[asyncio.Task[None]] = set()


class ClientGone(Exception):
    """The client closed the connection. No fault, and nobody is left to be told."""


class StreamedBody(Body):
    """The body of one request; read once, either in pieces or whole."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        """As Quart builds it.

        Args:
            expected_content_length: of the header; None for a chunked body.
            max_content_length: the limit for a body that is awaited as a whole. Pieces have none.
        """
        # Quart's own is left uninitialised: its events and buffer are what this replaces.
        self._expected = expected_content_length
        self._maximum = max_content_length
        self._receive: Receive | None = None
        self._idle_seconds: float | None = None
        self._whole: bytes | None = None
        self._abandoned = False
        self.complete = False
        self.received_bytes = 0

    def attach(self, receive: Receive, idle_seconds: float) -> None:
        """Says where the pieces come from, and how long each may take."""
        self._receive = receive
        self._idle_seconds = idle_seconds

    async def next_piece(self) -> bytes:
        """The next piece as the server has it, at most 256 KiB; empty at the end.

        Raises:
            DomainError: REQUEST_TIMEOUT when nothing came for too long.
            ClientGone: the client has closed the connection.
        """
        while not self.complete and self._receive is not None:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    event = await self._receive()
            except TimeoutError:
                raise error_for("REQUEST_TIMEOUT") from None
            if event["type"] != "http.request":
                self._abandoned = True
                raise ClientGone
            self.complete = not event.get("more_body", False)
            piece: bytes = event.get("body", b"")
            if piece:
                self.received_bytes += len(piece)
                return piece
        return b""

    async def chunks(self, size: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The body in chunks of about `size` bytes. What came before a break is given before the break is raised.

        Raises:
            DomainError: REQUEST_TIMEOUT.
            ClientGone: the client has closed the connection.
        """
        held: list[bytes] = []
        held_bytes = 0
        broken: Exception | None = None
        while True:
            try:
                piece = await self.next_piece()
            except (ClientGone, DomainError) as error:
                broken, piece = error, b""
            held.append(piece)
            held_bytes += len(piece)
            if held_bytes and (held_bytes >= size or not piece):
                yield b"".join(held)
                held.clear()
                held_bytes = 0
            if broken is not None:
                raise broken
            if not piece:
                return

    async def read(self, limit: int, reason: str) -> bytes:
        """The whole body, refused as soon as it is known to be too large.

        Args:
            limit: the most bytes.
            reason: the reason of the refusal, such as MANIFEST_TOO_LARGE.

        Raises:
            DomainError: of that reason, or REQUEST_TIMEOUT.
            ClientGone: the client has closed the connection.
        """
        if self._expected is not None and self._expected > limit:
            raise error_for(reason, f"the body has {self._expected} bytes; {limit} are the most")
        parts: list[bytes] = []
        size = 0
        while piece := await self.next_piece():
            size += len(piece)
            if size > limit:
                raise error_for(reason, f"the body has more than {limit} bytes")
            parts.append(piece)
        return b"".join(parts)

    async def discard(self, limit: int, seconds: float) -> None:
        """Reads and forgets what the client still sends, within limits.

        A client that sends its body before it reads the answer would otherwise meet a reset connection, and never learn
        why it was refused.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self.complete and limit > 0:
                    piece = await self.next_piece()
                    limit -= len(piece) or 1
        except (TimeoutError, ClientGone, DomainError):
            return

    def abandon(self) -> None:
        """Says that nobody will read the rest. To be called before an exchange ends whose body is not complete.

        Hypercorn's queue is short, and gets one more event at the end: full, and read by nobody, it would have it
        wait for ever, and the connection with it. So the rest is swallowed until Hypercorn says that this is the end.
        """
        if self.complete or self._abandoned or self._receive is None:
            return
        self._abandoned = True
        task = asyncio.ensure_future(self.wait_for_disconnect())
        _swallowing.add(task)
        task.add_done_callback(_swallowing.discard)

    async def wait_for_disconnect(self) -> None:
        """Returns when the client closes the connection; what else it sends is forgotten."""
        while self._receive is not None and (await self._receive())["type"] != "http.disconnect":
            pass

    # What Quart's Request asks of a body.

    def __aiter__(self) -> StreamedBody:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.next_piece()
        if not piece:
            raise StopAsyncIteration
        return piece

    def __await__(self) -> Generator[Any, None, Any]:
        return self._read_whole().__await__()

    async def _read_whole(self) -> bytes:
        if self._whole is None:
            limit = self._maximum
            if limit is None:
                raise RequestEntityTooLarge
            self._whole = await self.read(limit, "REQUEST_TOO_LARGE")
        return self._whole

    def append(self, data: bytes) -> None:
        """Not used: nothing is pushed into this body."""
        raise NotImplementedError

    def set_complete(self) -> None:
        """Marks the end, as Quart does for requests that have no body."""
        self.complete = True

    def set_result(self, data: bytes) -> None:
        """Gives the whole body at once, as tests do."""
        self._whole, self.complete = data, True

    def clear(self) -> None:
        """Forgets a body that was read whole."""
        self._whole = b""
