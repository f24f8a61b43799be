"""Request bodies that are read from the server piece by piece, with no buffer that could grow.

The ASGI server is asked for the next piece only when the route reads it. The server's short queue then fills, and TCP
slows the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from gateway.wire.admission import Visit
from gateway.wire.line import Line, SocketBody
from svckit.errors import DomainError, error_for
from svckit.pace import Patience

CHUNK_BYTES = 1024 * 1024
"""The size of one chunk. gRPC is fastest with messages of this size."""

Chunk = Sequence[bytes]
"""The pieces of one chunk, one after the other. Joining them would copy each byte once more."""

# The pieces of a chunked body may have one byte each, and a list of a million of those needs forty times their size.
_PIECES_HELD = 256
# Smaller pieces are joined, so that whoever writes them makes few calls of the system.
_WORTH_KEEPING_BYTES = 32 * 1024
# The memory of a whole body is counted in such steps.
_STEP_BYTES = 64 * 1024

Receive = Callable[[], Awaitable[Any]]


def size_of(chunk: Chunk) -> int:
    """The size of a chunk, in bytes."""
    return sum(map(len, chunk))


# asyncio keeps only weak references to tasks; without this set, a running task could be garbage collected.
_discard_tasks: set[asyncio.Task[None]] = set()


class ClientGone(Exception):
    """The client closed the connection. This is not an error of the gateway, and no answer can be sent."""


class StreamedBody:
    """The body of one request. It is read once, either in pieces or as a whole.

    Attributes:
        complete: whether its end has come.
        received_bytes: how much of it has come.
    """

    __slots__ = (
        "_abandoned",
        "_expected",
        "_is_let_in",
        "_line",
        "_patience",
        "_receive",
        "_visit",
        "complete",
        "received_bytes",
    )

    def __init__(self, expected_content_length: int | None, receive: Receive, line: Line | None, visit: Visit) -> None:
        """Reads nothing yet.

        Args:
            expected_content_length: the Content-Length header; None for a chunked body.
            receive: gives the next event of the request.
            line: lets the body in; None if the server has no such thing.
            visit: says how long the client may take, and counts the memory of a body that is read as a whole.
        """
        self._expected = expected_content_length
        self._receive = receive
        self._line = line
        self._is_let_in = False
        self._visit = visit
        self._patience: Patience | None = None
        self._abandoned = False
        self.complete = False
        self.received_bytes = 0

    async def next_piece(self) -> bytes:
        """The next piece as the server delivers it, at most 256 KiB; empty at the end.

        Raises:
            DomainError: REQUEST_TIMEOUT if the client is too slow.
            ClientGone: the client has closed the connection.
        """
        if self._patience is None and not self.complete:
            await self._begin()
        return await self._next_piece()

    async def _begin(self) -> None:
        """Asks the client for the body, and begins to count its time."""
        self._patience = Patience(self._visit.pace)
        self._visit.receive_much()
        await self._let_in()

    async def _let_in(self) -> None:
        if self._line is not None and not self._is_let_in:
            self._is_let_in = True
            await self._line.open_body()

    async def _next_piece(self) -> bytes:
        if self._abandoned:
            raise ClientGone
        while not self.complete:
            if self.is_too_late:
                raise error_for("REQUEST_TIMEOUT")
            try:
                if self._patience is None:
                    event = await self._receive()
                else:
                    event = await self._patience.wait_for(self._receive())
            except TimeoutError:
                raise error_for("REQUEST_TIMEOUT") from None
            if event["type"] != "http.request":
                self._abandoned = True
                raise ClientGone
            self.complete = not event.get("more_body", False)
            piece: bytes = event.get("body", b"")
            if piece:
                self.received_bytes += len(piece)
                if self._patience is not None:
                    self._patience.earn(len(piece))
                return piece
        return b""

    async def chunks(self, size: int = CHUNK_BYTES) -> AsyncIterator[Chunk]:
        """The body in chunks of about `size` bytes. After an error, the data received so far is yielded first.

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
            if piece:
                held.append(piece)
                held_bytes += len(piece)
            if held_bytes and (held_bytes >= size or len(held) >= _PIECES_HELD or not piece):
                yield held if held_bytes >= len(held) * _WORTH_KEEPING_BYTES else [b"".join(held)]
                held = []
                held_bytes = 0
            if broken is not None:
                raise broken
            if not piece:
                return

    async def hold(self) -> tuple[bytes, SocketBody | None]:
        """Holds the rest of the body in its socket, so that it need not come into this process.

        Returns:
            Bytes that had come already, and the rest, which the caller gives back; None if it comes by the server.
        """
        rest = None if self.complete or self._line is None or self._patience is None else self._line.hold_body()
        if rest is None:
            return b"", None
        pieces: list[bytes] = []
        is_taken: bool | None = False
        try:
            while (is_taken := await rest.take(self.received_bytes)) is None:
                pieces.append(await self._next_piece())
        except (ClientGone, DomainError):
            # The next read says so again.
            is_taken = False
        finally:
            if not is_taken:
                await rest.give_back()
        return b"".join(pieces), rest if is_taken else None

    @property
    def is_too_late(self) -> bool:
        """Whether the body has taken too long, so that the next read fails."""
        return self._patience is not None and self._patience.is_over

    async def wait_for(self, held: SocketBody) -> bool:
        """Waits until more of the rest has come, but not for long. Returns whether it has."""
        if self._patience is None:
            return await held.wait()
        try:
            return await self._patience.wait_for(held.wait())
        except TimeoutError:
            return False

    def moved(self, size_bytes: int) -> None:
        """Counts bytes that went another way."""
        self.received_bytes += size_bytes
        if self._patience is not None:
            self._patience.earn(size_bytes)

    async def read(self, limit: int, reason: str) -> bytes:
        """The whole body. It is refused as soon as it is known to be too large.

        Args:
            limit: the largest size, in bytes.
            reason: the reason of the error, such as MANIFEST_TOO_LARGE.

        Raises:
            DomainError: with that reason; REQUEST_TIMEOUT; OVERLOADED or TOOMANYREQUESTS if the memory for bodies is in
                use.
            ClientGone: the client has closed the connection.
        """
        if self._expected is not None and self._expected > limit:
            raise error_for(reason, f"the body has {self._expected} bytes; the limit is {limit}")
        content = bytearray()
        counted = 0
        while piece := await self.next_piece():
            content += piece
            if len(content) > limit:
                raise error_for(reason, f"the body has more than {limit} bytes")
            if len(content) > counted:
                steps = -(-(len(content) - counted) // _STEP_BYTES)
                self._visit.hold(steps * _STEP_BYTES)
                counted += steps * _STEP_BYTES
        return bytes(content)

    async def discard(self, limit: int, seconds: float) -> None:
        """Reads the rest of the body and drops it, up to a size and a time.

        Many clients send the whole body before they read the answer. Without this, such a client would see a reset
        connection instead of the answer that says why it was refused.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._let_in()
                # Its time may be over already. This is another one.
                self._patience = None
                while not self.complete and limit > 0:
                    piece = await self._next_piece()
                    limit -= len(piece) or 1
        except (TimeoutError, ClientGone, DomainError):
            return

    def abandon(self) -> None:
        """Drops the rest of the body in the background. Call it before an exchange ends with an incomplete body.

        Hypercorn's queue is short, and Hypercorn puts one more event into it at the end. If the queue is full and
        nothing reads from it, Hypercorn waits for ever and keeps the connection open. So a task reads and drops events
        until the disconnect event.
        """
        if self.complete or self._abandoned:
            return
        if self._line is not None and self._line.settles_unread_bodies:
            return
        self._abandoned = True
        task = asyncio.ensure_future(self.wait_for_disconnect())
        _discard_tasks.add(task)
        task.add_done_callback(_discard_tasks.discard)

    async def wait_for_disconnect(self) -> None:
        """Returns when the client closes the connection. Data that arrives before that is dropped."""
        await self._let_in()
        while (await self._receive())["type"] != "http.disconnect":
            pass
