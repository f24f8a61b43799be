"""An upload whose staging file this process writes, as far as blobsvc allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc.aio

from gateway.clients.staging_file import StagingFile
from gateway.wire.body import size_of
from gateway.wire.upload_body import RestOfBody
from roadstead.blob.v1 import upload_service_pb2 as pb
from svckit.batched_writes import BatchedWrites
from svckit.disk import disk_failures
from svckit.errors import DomainError, error_for
from svckit.threads import BlockingPool

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[pb.WriteUploadFileRequest, pb.WriteUploadFileResponse]

# When less room than this is left, blobsvc is asked for more. It also learns then what it can hash.
_LITTLE_ROOM_BYTES = 16 * 1024 * 1024

# Where there is less room, blobsvc is asked for exactly what each chunk needs.
_LEAST_MOVED_BYTES = 256 * 1024


class FileUpload:
    """A locked staging file, and the call to blobsvc that allows to write it.

    The next bytes arrive while a thread writes the last ones. So it holds two batches at most.
    """

    def __init__(self, call: Call, file: StagingFile, allowed_size_bytes: int, pool: BlockingPool) -> None:
        """Takes a call that has had its first answer, and the file that this answer named."""
        self._call = call
        self._file = file
        self._pool = pool
        self._allowed = allowed_size_bytes
        self._size = file.size_bytes
        self._asked: asyncio.Task[int] | None = None
        self._writes = BatchedWrites(pool, file.write)

    async def append(self, *pieces: bytes) -> None:
        """Adds bytes. A failed write raises in the next call.

        Raises:
            DomainError: UPLOADS_EXCEEDED, STORAGE_FULL, UNAVAILABLE, and other refusals of blobsvc.
        """
        size_bytes = size_of(pieces)
        await self._require(self._size + size_bytes)
        self._size += size_bytes
        await self._writes.append(*pieces)

    async def move(self, rest: RestOfBody, on_moved: Callable[[int], None]) -> None:
        """Moves the rest of a body into the file, as far as it comes fast.

        Args:
            rest: the rest.
            on_moved: is called with the numbers of bytes that have been added.

        Raises:
            DomainError: as `append`.
        """
        if rest.before:
            await self.append(rest.before)
            on_moved(len(rest.before))
        await self._writes.flush()
        goes_on = True
        while goes_on and await self._has_room():
            with disk_failures():
                moved, goes_on = await rest.move(self._pool, self._file.drain, self._allowed - self._size)
            self._size += moved
            on_moved(moved)

    async def commit(self) -> int:
        """Has blobsvc make the bytes durable, and returns the size of the whole upload. The file stays locked.

        Raises:
            DomainError: as `append`.
        """
        await self._writes.flush()
        if self._asked is not None:
            self._allowed = await self._asked
        await self._tell(self._size)
        await self._call.done_writing()
        while True:
            answer = await self._answer()
            if answer.HasField("committed_size_bytes"):
                return answer.committed_size_bytes

    async def close(self) -> None:
        """Writes what was appended, also after a failure, and releases the lock."""
        if self._asked is not None:
            self._asked.cancel()
            with suppress(asyncio.CancelledError, DomainError):
                await self._asked
        await self._writes.settle()
        await self._pool.run(self._file.release)
        self._call.cancel()

    async def _has_room(self) -> bool:
        """Whether the file may have much more, as far as blobsvc has said, which is asked for more in time.

        It is not asked for a number of bytes: the body may end here, and there may be no room for others.
        """
        await self._require(self._size)
        if self._allowed - self._size < _LEAST_MOVED_BYTES and self._asked is not None:
            self._allowed, self._asked = await self._asked, None
        return self._allowed - self._size >= _LEAST_MOVED_BYTES

    async def _require(self, size_bytes: int) -> None:
        """Waits until the file may have so many bytes, and asks for more room in time."""
        if self._asked is not None and (self._asked.done() or size_bytes > self._allowed):
            self._allowed, self._asked = await self._asked, None
        if self._asked is None and self._allowed - size_bytes < _LITTLE_ROOM_BYTES:
            await self._tell(size_bytes)
            self._asked = asyncio.ensure_future(self._read_allowed())
            if size_bytes > self._allowed:
                self._allowed, self._asked = await self._asked, None

    async def _tell(self, wanted_size_bytes: int) -> None:
        progress = pb.WriteUploadFileRequest.Progress(
            size_bytes=self._file.size_bytes, wanted_size_bytes=wanted_size_bytes
        )
        await self._call.write(pb.WriteUploadFileRequest(progress=progress))

    async def _read_allowed(self) -> int:
        return (await self._answer()).allowed_size_bytes

    async def _answer(self) -> pb.WriteUploadFileResponse:
        return await read_answer(self._call)


async def read_answer(call: Call) -> pb.WriteUploadFileResponse:
    """The next answer of blobsvc.

    Raises:
        DomainError: a refusal; UNAVAILABLE, the stream has ended.
    """
    answer = await call.read()
    if not isinstance(answer, pb.WriteUploadFileResponse):
        raise error_for("UNAVAILABLE", "blobsvc has ended the upload")
    return answer
