"""Finished blobs in a file system (`domain.ports.BlobReader`)."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Self

from blobsvc.domain.blob import checked_range
from blobsvc.domain.damage import DamagedBlobError
from blobsvc.domain.model import BlobKey, StoredBlob
from blobsvc.domain.placement import STREAM_ONLY, ReadFilePlacement
from blobsvc.domain.ports import LocatedBlob, OpenedBlob
from blobsvc.store.filesystem.commit import blob_file_status, stat_blob_file
from blobsvc.store.filesystem.data_file import modified_time
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.metrics import StoreMetrics
from svckit.disk import disk_failures
from svckit.errors import NotFound
from svckit.oci.digest import Hasher
from svckit.threads import BlockingPool

# No file, or a symbolic link in its place.
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_LARGEST_CHUNK_BYTES = 1024 * 1024
_SMALLEST_CHUNK_BYTES = 64 * 1024
# The memory for the chunks of all streams together. With many streams, the chunks get smaller. Each stream holds about
# three chunks: one that is read ahead, one that is sent, and a copy in the message. The chunks of a stream begin small
# and grow with what its client has read, so a client that does not read gets no large ones.
_ALL_CHUNKS_BYTES = 24 * 1024 * 1024


class FileBlobs:
    """The blobs of one store."""

    def __init__(self, layout: Layout, pool: BlockingPool, metrics: StoreMetrics) -> None:
        """Takes the parts of the store.

        Args:
            layout: the paths of the store.
            pool: the threads for blocking work.
            metrics: the metrics of the store.
        """
        self._layout = layout
        self._pool = pool
        self._metrics = metrics
        self._streams = 0

    async def stat(self, key: BlobKey) -> StoredBlob:
        """As the port says."""
        with disk_failures():
            blob = await self._pool.run(_stat, self._layout, key)
        if blob is None:
            raise NotFound("BLOB_UNKNOWN")
        return blob

    async def sizes(self, keys: Sequence[BlobKey]) -> list[int | None]:
        """As the port says."""
        with disk_failures():
            return await self._pool.run(_sizes, self._layout, keys)

    async def locate(self, key: BlobKey) -> LocatedBlob:
        """As the port says."""
        with disk_failures():
            located = await self._pool.run(_locate, self._layout, key)
        if located is None:
            raise NotFound("BLOB_UNKNOWN")
        return located

    @asynccontextmanager
    async def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AsyncIterator[OpenedBlob]:
        """As the port says."""
        with disk_failures():
            file = await self._pool.acquire(partial(_BlobFile.open, self._layout, key), _BlobFile.close)
        self._streams += 1
        try:
            part = checked_range(file.blob.size_bytes, offset, limit)
            async with aclosing(self._chunks(file, part)) as chunks:
                yield OpenedBlob(blob=file.blob, chunks=chunks)
        finally:
            self._streams -= 1
            # In a thread, because `close` blocks while another thread still reads.
            await asyncio.shield(self._pool.run(file.close))

    async def _chunks(self, file: "_BlobFile", part: range) -> AsyncGenerator[bytes, None]:
        position = part.start
        hasher = Hasher(file.blob.digest.algorithm) if part == range(file.blob.size_bytes) else None
        ahead = self._read(file, position, part, hasher)
        try:
            while ahead is not None:
                with disk_failures():
                    data = await ahead
                if not data:
                    raise DamagedBlobError("size")
                position += len(data)
                ahead = self._read(file, position, part, hasher)
                if ahead is None and hasher is not None and hasher.digest() != file.blob.digest:
                    # The last chunk is held back, so that nobody takes these bytes for the blob.
                    raise DamagedBlobError("digest")
                self._metrics.read_bytes.inc(len(data))
                yield data
        finally:
            if ahead is not None:
                ahead.cancel()

    def _read(
        self, file: "_BlobFile", position: int, part: range, hasher: Hasher | None
    ) -> "asyncio.Future[bytes] | None":
        """Start to read and hash the next chunk while the one before is sent."""
        if position >= part.stop:
            return None
        share = _ALL_CHUNKS_BYTES // max(self._streams, 1)
        earned = (position - part.start) // 8
        size = min(max(min(share, earned), _SMALLEST_CHUNK_BYTES), _LARGEST_CHUNK_BYTES, part.stop - position)
        return self._pool.run(file.read, position, size, hasher)


def _stat(layout: Layout, key: BlobKey) -> StoredBlob | None:
    blob = stat_blob_file(layout.blob(key), key)
    if blob is None:
        layout.require_store()
    return blob


def _locate(layout: Layout, key: BlobKey) -> LocatedBlob | None:
    path = layout.blob(key)
    status = blob_file_status(path)
    if status is None:
        layout.require_store()
        return None
    file = ReadFilePlacement(layout.relative(path), layout.store_id, status.st_ino, status.st_size)
    return LocatedBlob(StoredBlob(key, status.st_size, modified_time(status)), (file, *STREAM_ONLY))


def _sizes(layout: Layout, keys: Sequence[BlobKey]) -> list[int | None]:
    found = [stat_blob_file(layout.blob(key), key) for key in keys]
    if None in found:
        layout.require_store()
    return [None if blob is None else blob.size_bytes for blob in found]


class _BlobFile:
    """An open file of a blob. Only one thread uses it at a time. `close` waits for a thread that reads."""

    def __init__(self, descriptor: int, blob: StoredBlob) -> None:
        self.blob = blob
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, layout: Layout, key: BlobKey) -> Self:
        try:
            descriptor = os.open(layout.blob(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            layout.require_store()
            raise NotFound("BLOB_UNKNOWN") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise NotFound("BLOB_UNKNOWN")
        return cls(descriptor, StoredBlob(key, status.st_size, modified_time(status)))

    def read(self, position: int, size: int, hasher: Hasher | None) -> bytes:
        with self._lock:
            data = b"" if self._closed else os.pread(self._descriptor, size, position)
            if hasher is not None:
                hasher.update(data)
            return data

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._descriptor)
