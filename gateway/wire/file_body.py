"""The body of an answer that comes from a file."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from svckit.errors import error_for
from svckit.threads import BlockingPool

LARGEST_PIECE_BYTES = 1024 * 1024
"""The size of the largest piece."""
_SMALLEST_PIECE_BYTES = 64 * 1024
# All pieces that are in memory together may have so many bytes. With many bodies, the pieces get smaller.
_ALL_PIECES_BYTES = 32 * 1024 * 1024
# A client that takes a piece sooner gets a larger one next. One that takes longer gets a smaller one.
_SOON_SECONDS = 0.05
_LATE_SECONDS = 0.5
# The distance of the bytes that are tried, to see whether a piece is in memory. It is the kernel's usual read-ahead.
_TRIED_EVERY_BYTES = 128 * 1024
# After a piece had to be read from the disk, the kernel is asked to read so much more beside.
_AHEAD_BYTES = 4 * 1024 * 1024


class FileReads:
    """What the bodies of one process share.

    Attributes:
        pool: the threads for what may wait for the disk.
        bodies: how many bodies are being sent.
    """

    def __init__(self, pool: BlockingPool, held_pieces: int = 1) -> None:
        """Starts without bodies.

        Args:
            pool: see above.
            held_pieces: how many pieces of each body the HTTP server holds while its client does not read.
        """
        self.pool = pool
        self.bodies = 0
        self._held_pieces = held_pieces

    @property
    def most_bytes(self) -> int:
        """The largest piece that a body may have now."""
        return _ALL_PIECES_BYTES // (self._held_pieces * max(self.bodies, 1))


class OpenFile:
    """An open file. It can be read to its end, even if its name is deleted."""

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor, which belongs to this object from now on."""
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """The descriptor.

        Raises:
            ValueError: the file is closed.
        """
        if self._descriptor is None:
            raise ValueError("the file is closed")
        return self._descriptor

    def close(self) -> None:
        """Closes it. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class FileBody(AsyncIterator[bytes]):
    """Parts of a file, with other bytes between them, in pieces that suit the speed of the client.

    A piece that is in the page cache is read in the event loop: that takes less time than to ask a thread. Others are
    read by a thread, and the kernel then reads ahead. So a client that does not read holds a descriptor and one piece.
    """

    def __init__(
        self,
        reads: FileReads,
        file: OpenFile,
        parts: Sequence[bytes | range],
        *,
        on_short: Callable[[], Awaitable[None]],
        on_sent: Callable[[int], None],
    ) -> None:
        """Takes an open file, and closes it when the body is closed.

        Args:
            reads: what the bodies share.
            file: the file.
            parts: bytes that are sent as they are, and ranges of positions in the file.
            on_short: is awaited if the file has become shorter. It may raise an error that says so.
            on_sent: is called with the size of each piece when it was sent.
        """
        self._reads = reads
        self._file = file
        self._parts = deque(parts)
        self._on_short = on_short
        self._on_sent = on_sent
        self._reading: asyncio.Future[bytes | None] | None = None
        self._piece_bytes = _SMALLEST_PIECE_BYTES
        self._given_bytes = 0
        self._given_at = 0.0
        self._is_open = True
        reads.bodies += 1

    def __aiter__(self) -> FileBody:
        """This body, which can be read once."""
        return self

    async def __anext__(self) -> bytes:
        """The next piece. The one before counts as sent.

        Raises:
            DomainError: the file has become shorter.
            OSError: it cannot be read.
        """
        self._note_sent()
        segments = self._take(self._next_bytes())
        if not segments:
            raise StopAsyncIteration
        descriptor = self._file.descriptor
        if _is_cached(descriptor, segments):
            # A server waits neither for a client that is fast nor for one that has left. Others must have their turn,
            # and be told that it has left: else the rest of the file would be read here, in one go.
            await asyncio.sleep(0)
            piece = _read(descriptor, segments)
        else:
            self._reading = self._reads.pool.run(_read_from_disk, descriptor, segments)
            # Shielded: the file must stay open until the thread has read.
            piece = await asyncio.shield(self._reading)
            self._reading = None
        if piece is None:
            await self._on_short()
            raise error_for("UNAVAILABLE", "the file of a blob has become shorter")
        self._given_bytes = len(piece)
        self._given_at = time.monotonic()
        return piece

    async def aclose(self) -> None:
        """Closes the file, once no thread reads it."""
        if not self._is_open:
            return
        self._is_open = False
        self._reads.bodies -= 1
        reading, self._reading = self._reading, None
        if reading is None:
            self._file.close()
        else:
            reading.add_done_callback(self._read_after_all)

    def _read_after_all(self, reading: asyncio.Future[bytes | None]) -> None:
        self._file.close()
        if not reading.cancelled():
            # Nobody waits for it any more. asyncio would log an error that is not looked at.
            reading.exception()

    def _note_sent(self) -> None:
        if not self._given_bytes:
            return
        self._on_sent(self._given_bytes)
        self._given_bytes = 0
        seconds = time.monotonic() - self._given_at
        if seconds < _SOON_SECONDS:
            self._piece_bytes = min(2 * self._piece_bytes, LARGEST_PIECE_BYTES)
        elif seconds > _LATE_SECONDS:
            self._piece_bytes = max(self._piece_bytes // 2, _SMALLEST_PIECE_BYTES)

    def _next_bytes(self) -> int:
        return max(min(self._piece_bytes, self._reads.most_bytes), _SMALLEST_PIECE_BYTES)

    def _take(self, size_bytes: int) -> list[bytes | range]:
        """The next parts that have so many bytes together; an empty list at the end."""
        taken: list[bytes | range] = []
        left = size_bytes
        while self._parts and left > 0:
            part = self._parts.popleft()
            if isinstance(part, range) and len(part) > left:
                self._parts.appendleft(part[left:])
                part = part[:left]
            if part:
                taken.append(part)
                left -= len(part)
        return taken


def _is_cached(descriptor: int, segments: Sequence[bytes | range]) -> bool:
    """Whether these parts are in the page cache, as far as some bytes of each show.

    A wrong answer only makes this process wait for the disk.
    """
    byte = bytearray(1)
    try:
        for segment in segments:
            if isinstance(segment, range):
                for position in (*segment[::_TRIED_EVERY_BYTES], segment[-1]):
                    os.preadv(descriptor, [byte], position, os.RWF_NOWAIT)
    except OSError:
        # EAGAIN: it is not there. Others, such as EOPNOTSUPP: the file system cannot say.
        return False
    return True


def _read_from_disk(descriptor: int, segments: Sequence[bytes | range]) -> bytes | None:
    piece = _read(descriptor, segments)
    last = segments[-1]
    if isinstance(last, range):
        os.posix_fadvise(descriptor, last.stop, _AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
    return piece


def _read(descriptor: int, segments: Sequence[bytes | range]) -> bytes | None:
    """The bytes of all parts; None if the file ends too early."""
    if len(segments) == 1 and isinstance(segments[0], range):
        data = os.pread(descriptor, len(segments[0]), segments[0].start)
        if len(data) == len(segments[0]):
            return data
    pieces: list[bytes] = []
    for segment in segments:
        if isinstance(segment, bytes):
            pieces.append(segment)
            continue
        position = segment.start
        while position < segment.stop:
            data = os.pread(descriptor, segment.stop - position, position)
            if not data:
                return None
            pieces.append(data)
            position += len(data)
    return b"".join(pieces)
