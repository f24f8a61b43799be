"""The blob store in one folder."""

import errno
import os
import time
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry

from blobsvc.store.filesystem.admin import FileBlobAdmin
from blobsvc.store.filesystem.blobs import FileBlobs
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.uploads import FileUploads
from svckit.disk import FULL
from svckit.threads import BlockingPool

# `examine` runs every second, and a file each time would never let an idle disk sleep. So a file is written only this
# often. In between, only the access rights are checked.
_WRITE_EVERY_SECONDS = 30.0


class FileStore:
    """A blob store in a folder. Several processes may use it at once, because each upload has a file lock.

    Attributes:
        id: the id of the folder. Two processes with the same id use the same folder.
        uploads: takes uploads.
        blobs: reads blobs.
        admin: lists, deletes, expires.
    """

    def __init__(self, layout: Layout, reading: BlockingPool, writing: BlockingPool, metrics: StoreMetrics) -> None:
        """Use `open` instead."""
        self.id = layout.store_id
        self.uploads = FileUploads(layout, writing, metrics)
        self.blobs = FileBlobs(layout, reading, metrics)
        self.admin = FileBlobAdmin(layout, writing, self.uploads)
        self._layout = layout
        self._wrote_time = float("-inf")
        self._pools = (reading, writing)

    @classmethod
    async def open(
        cls,
        root: Path,
        registry: CollectorRegistry,
        *,
        expected_id: str = "",
        reading_threads: int = 8,
        writing_threads: int = 8,
    ) -> Self:
        """Open the store, or create a new one.

        Args:
            root: the folder.
            registry: the registry for the store's metrics.
            expected_id: the id that the store must have; empty for any, or a new one.
            reading_threads: how many threads read blobs.
            writing_threads: how many threads serve uploads, lists and deletes.

        Raises:
            WrongStoreError: the folder holds another store, or none, and an id was expected.
            OSError: the folder cannot be used.
        """
        layout = Layout(root, expected_id)
        # Two pools, so that writers that wait for a slow fsync do not block readers.
        writing = BlockingPool("blob-write", writing_threads)
        await writing.run(layout.prepare)
        return cls(layout, BlockingPool("blob-read", reading_threads), writing, StoreMetrics(registry))

    def examine(self) -> None:
        """Check that the folder is still this store, and that files can be created in it. It blocks.

        Raises:
            OSError: a check failed. A full disk does not fail it, because stored blobs can still be read.
        """
        self._layout.require_store()
        if not os.access(self._layout.uploads, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, "no file can be created in the folder")
        if time.monotonic() - self._wrote_time < _WRITE_EVERY_SECONDS:
            return
        # In the folder of the sessions. Its name is not that of a session, so it is not taken for one.
        probe = self._layout.uploads / f".examined-{os.getpid()}"
        try:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            probe.unlink()
        except OSError as error:
            if error.errno not in FULL:
                raise
        else:
            self._wrote_time = time.monotonic()

    def close(self) -> None:
        """Wait for running work, and end the threads. The store cannot be used afterwards."""
        for pool in self._pools:
            pool.close()
