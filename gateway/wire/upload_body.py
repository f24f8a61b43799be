"""The body of an upload: its chunks, or the rest of it in its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from gateway.wire.body import Chunk, StreamedBody, size_of
from gateway.wire.line import Next, SocketBody
from svckit.errors import Invalid
from svckit.threads import BlockingPool

# After so many bytes, it is tried again whether the client is fast. Each vain try doubles it.
_TRIED_AFTER_BYTES = 1024 * 1024
_TRIED_AFTER_MOST_BYTES = 64 * 1024 * 1024
# A try that has moved so many bytes was worth it.
_WORTH_BYTES = 4 * 1024 * 1024


class UploadBody(AsyncIterator[Chunk]):
    """A body that nobody else reads, in chunks of about 1 MiB. After an error, what came before is given first."""

    def __init__(self, body: StreamedBody, length: int | None) -> None:
        """Takes the body, and its announced length; None if there is none."""
        self._body = body
        self._chunks = body.chunks()
        self._length = length
        self._seen = 0
        self._tried_at = 0
        self._tried_after = _TRIED_AFTER_BYTES

    def __aiter__(self) -> UploadBody:
        """This body, which can be read once."""
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk.

        Raises:
            DomainError: SIZE_INVALID, the body has another length than was announced; REQUEST_TIMEOUT.
            ClientGone: the client has closed the connection.
        """
        # Not `anext(…, ())`: CPython before 3.14 raises SystemError for a tuple (gh-128078).
        taken = None if self._is_too_long else await anext(self._chunks, None)
        chunk: Chunk = taken or ()
        self._seen += size_of(chunk)
        if chunk and not self._is_too_long:
            return chunk
        if self._length is not None and self._seen != self._length:
            received = "more were" if self._is_too_long else f"{self._seen} were"
            raise Invalid("SIZE_INVALID", f"{self._length} bytes were announced, but {received} received")
        raise StopAsyncIteration

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[RestOfBody | None]:
        """Holds the rest in its socket, inside the block; None if that is not possible, or not worth it.

        What is wrong with the body is said by the next chunk.
        """
        if self._seen < self._tried_at:
            yield None
            return
        before, held = await self._body.hold()
        if held is None and not before:
            yield None
            return
        self._seen += len(before)
        room = None if self._length is None else self._length - self._seen
        moved = 0
        try:
            # Of a body that is too long, the chunk with the end is not written, wherever it comes from.
            yield RestOfBody(self._body, before, held, room) if room is None or room >= 0 else None
        finally:
            if held is not None:
                moved = held.moved_bytes
                await held.give_back()
        self._seen += moved
        vain = min(2 * self._tried_after, _TRIED_AFTER_MOST_BYTES)
        self._tried_after = vain if moved < _WORTH_BYTES else _TRIED_AFTER_BYTES
        self._tried_at = self._seen + self._tried_after

    @property
    def _is_too_long(self) -> bool:
        return self._length is not None and self._seen > self._length


class RestOfBody:
    """What is left of a body, in its socket.

    Attributes:
        before: bytes that come before it.
    """

    def __init__(self, body: StreamedBody, before: bytes, held: SocketBody | None, room_bytes: int | None) -> None:
        """Takes it.

        Args:
            body: the body.
            before: bytes that come before it.
            held: the rest; None if the server reads on.
            room_bytes: how many bytes may come; None for any number.
        """
        self.before = before
        self._body = body
        self._held = held
        self._room_bytes = room_bytes
        self._waits = False

    async def move(self, pool: BlockingPool, write: Callable[[int, int], None], most_bytes: int) -> tuple[int, bool]:
        """Moves bytes that are there.

        Args:
            pool: the threads for it.
            write: see `SocketBody.move`.
            most_bytes: the most bytes to move.

        Returns:
            How many bytes were moved, and whether it is worth going on.

        Raises:
            Exception: what `write` has raised.
        """
        held, room = self._held, self._room_bytes
        if held is None or self._body.is_too_late:
            return 0, False
        if self._waits:
            self._waits = False
            if not await self._body.wait_for(held):
                return 0, False
        if room is not None:
            most_bytes = min(most_bytes, room - held.moved_bytes)
        if not most_bytes:
            return 0, False
        began = held.moved_bytes
        moving = pool.run(held.move, write, most_bytes)
        try:
            then = await asyncio.shield(moving)
        finally:
            await _until_done(moving)
        moved = held.moved_bytes - began
        self._body.moved(moved)
        self._waits = then is Next.WAIT
        return moved, then is not Next.GIVE_BACK


async def _until_done(moving: asyncio.Future[Next]) -> None:
    """Waits even if it is cancelled: the socket belongs to the thread until then. That takes milliseconds."""
    while not moving.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([moving])
