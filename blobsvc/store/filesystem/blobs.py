"""Finished blobs in a file system (`domain.ports.BlobReader`)."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Self

from blobsvc.domain.blob import checked_range
from blobsvc.domain.model import BlobKey, StoredBlob
from blobsvc.domain.placement import STREAM_ONLY
from blobsvc.domain.ports import LocatedBlob, OpenedBlob
from blobsvc.store.filesystem.commit import stat_blob_file
from blobsvc.store.filesystem.failures import disk_failures
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.session import modified_time
from blobsvc.store.filesystem.threads import BlockingPool
from svckit.errors import NotFound
from svckit.logging import get_logger

_log = get_logger(__name__)

_LARGEST_CHUNK_BYTES = 1024 * 1024
_SMALLEST_CHUNK_BYTES = 64 * 1024
# The memory for the chunks of all streams together. With many streams, the chunks get smaller. Each stream holds about
# three chunks: one that is read ahead, one that is sent, and a copy in the message.
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

    async def locate(self, key: BlobKey) -> LocatedBlob:
        """As the port says."""
        return LocatedBlob(await self.stat(key), STREAM_ONLY)

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
        ahead = self._read(file, position, part)
        try:
            while ahead is not None:
                with disk_failures():
                    data = await ahead
                if not data:
                    _log.error("blob_truncated", digest=str(file.blob.digest), generation=str(file.blob.generation))
                    raise NotFound("BLOB_UNKNOWN", "the stored bytes end too early")
                position += len(data)
                ahead = self._read(file, position, part)
                self._metrics.read_bytes.inc(len(data))
                yield data
        finally:
            if ahead is not None:
                ahead.cancel()

    def _read(self, file: "_BlobFile", position: int, part: range) -> "asyncio.Future[bytes] | None":
        """Start to read the next chunk while the one before is sent."""
        if position >= part.stop:
            return None
        share = _ALL_CHUNKS_BYTES // max(self._streams, 1)
        size = min(max(share, _SMALLEST_CHUNK_BYTES), _LARGEST_CHUNK_BYTES, part.stop - position)
        return self._pool.run(file.read, position, size)


def _stat(layout: Layout, key: BlobKey) -> StoredBlob | None:
    blob = stat_blob_file(layout.blob(key), key)
    if blob is None:
        layout.require_store()
    return blob


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
        except (FileNotFoundError, NotADirectoryError):
            layout.require_store()
            raise NotFound("BLOB_UNKNOWN") from None
        status = os.fstat(descriptor)
        return cls(descriptor, StoredBlob(key, status.st_size, modified_time(status)))

    def read(self, position: int, size: int) -> bytes:
        with self._lock:
            return b"" if self._closed else os.pread(self._descriptor, size, position)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._descriptor)
