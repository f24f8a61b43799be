"""Follows an upload whose file the gateway writes (`domain.ports.UploadFollower`)."""

import asyncio
import os
import threading
from pathlib import Path

from blobsvc.domain.placement import WriteFilePlacement
from blobsvc.store.filesystem.data_file import open_data, sync_file
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.progress import Progress
from blobsvc.store.filesystem.session import sync_names
from blobsvc.store.filesystem.writeback import begin_writeback
from svckit.disk import disk_failures
from svckit.logging import get_logger
from svckit.threads import BlockingPool

_log = get_logger(__name__)

# Bytes that are hashed in one call of a thread. When the writer is done, the call that is running is waited for.
_HASH_STEP_BYTES = 16 * 1024 * 1024


class FollowedFile:
    """The data file of a session, open for reading beside its writer. Its methods block."""

    def __init__(self, folder: Path, progress: Progress, metrics: StoreMetrics) -> None:
        """Opens the file. The session must be locked meanwhile, so that it is the right one.

        Raises:
            DomainError: BLOB_UPLOAD_UNKNOWN.
            OSError: it cannot be opened.
        """
        self._folder = folder
        self._progress = progress
        self._metrics = metrics
        self._descriptor = open_data(folder, os.O_RDONLY)
        # Held by the thread that uses the file, as in `HeldSession`. Hashing and syncing happen at the same time.
        self._users = threading.Semaphore(2)

    def hash_up_to(self, size_bytes: int) -> bool:
        """Hash a part of the bytes up to there. Return whether there are more.

        Raises:
            OSError: the file cannot be read.
        """
        with self._users:
            progress = self._progress
            hashed = progress.hash_more(self._descriptor, progress.hasher.algorithm, size_bytes, _HASH_STEP_BYTES)
            begin_writeback(self._descriptor, progress.hashed_bytes - hashed, hashed)
            return progress.hashed_bytes < size_bytes

    def sync(self) -> int:
        """Make the file and the session's names durable. Return the size of the file.

        Raises:
            SyncFailedError: an fsync failed.
        """
        with self._users:
            size_bytes = os.fstat(self._descriptor).st_size
            with self._metrics.fsync_seconds.time():
                sync_file(self._descriptor)
            self._progress.synced_bytes = size_bytes
            sync_names(self._folder, self._progress)
            return size_bytes

    def close(self) -> None:
        """Close the file, once no thread uses it."""
        with self._users, self._users:
            os.close(self._descriptor)


class FileFollower:
    """Hashes what somebody else writes while it is written."""

    def __init__(
        self, file: FollowedFile, placement: WriteFilePlacement, pool: BlockingPool, metrics: StoreMetrics
    ) -> None:
        """Takes an open file, which must stay open until `settle` has returned."""
        self.placement = placement
        self._file = file
        self._pool = pool
        self._metrics = metrics
        self._size_bytes = placement.committed_size_bytes
        self._hashing: asyncio.Task[None] | None = None
        self._ends = False

    def grown(self, size_bytes: int) -> None:
        """As the port says."""
        self._metrics.uploaded_bytes.inc(max(size_bytes - self._size_bytes, 0))
        self._size_bytes = size_bytes
        if self._hashing is None or self._hashing.done():
            self._hashing = asyncio.ensure_future(self._hash())

    async def commit(self) -> int:
        """As the port says."""
        with disk_failures():
            return await self._pool.run(self._file.sync)

    async def settle(self) -> None:
        """Wait until no thread hashes any more. What is not hashed then is hashed by the finish."""
        self._ends = True
        if self._hashing is not None:
            await asyncio.wait([self._hashing])

    async def _hash(self) -> None:
        try:
            while not self._ends and await self._pool.run(self._file.hash_up_to, self._size_bytes):
                pass
        except OSError as error:
            # The finish reads the same bytes again, and tells its caller.
            _log.error("disk_failed", error=str(error))
