"""One store in one folder."""

import errno
import os
import time
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry

from blobsvc.store.filesystem.admin import FileBlobAdmin
from blobsvc.store.filesystem.blobs import FileBlobs
from blobsvc.store.filesystem.failures import FULL
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.metrics import StoreMetrics
from blobsvc.store.filesystem.threads import BlockingPool
from blobsvc.store.filesystem.uploads import FileUploads

# A file that is made every second would keep an idle machine's disk from resting. In between, the rights are asked for.
_WRITE_EVERY_SECONDS = 30.0


class FileStore:
    """Bytes in a folder. Several processes may use it at once: each upload is locked by whoever is at it.

    Attributes:
        id: names the folder, for whoever wants to prove that both see the same one.
        uploads: takes uploads.
        blobs: reads blobs.
        admin: lists, deletes, expires.
    """

    def __init__(
        self, layout: Layout, store_id: str, reading: BlockingPool, writing: BlockingPool, metrics: StoreMetrics
    ) -> None:
        """`open` builds it."""
        self.id = store_id
        self.uploads = FileUploads(layout, writing, metrics)
        self.blobs = FileBlobs(layout, reading, metrics)
        self.admin = FileBlobAdmin(layout, writing, self.uploads)
        self._layout = layout
        self._wrote_time = float("-inf")
        self._pools = (reading, writing)

    @classmethod
    async def open(
        cls, root: Path, registry: CollectorRegistry, *, reading_threads: int = 8, writing_threads: int = 8
    ) -> Self:
        """Open the store, or make a new one.

        Args:
            root: the folder.
            registry: for the store's metrics.
            reading_threads: how many block on reading blobs.
            writing_threads: how many block on uploads, lists and deletes.

        Raises:
            OSError: the folder cannot be used.
        """
        layout = Layout(root)
        writing = BlockingPool("blob-write", writing_threads)
        store_id = await writing.run(layout.prepare)
        return cls(layout, store_id, BlockingPool("blob-read", reading_threads), writing, StoreMetrics(registry))

    def examine(self) -> None:
        """See whether the folder is still this store, and files can be made in it. It blocks.

        Raises:
            OSError: it is not, or they cannot. A full disk is no such case: what is stored can be read.
        """
        if self._layout.read_store_id() != self.id:
            raise OSError(errno.ESTALE, "the folder holds another store")
        if not os.access(self._layout.uploads, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, "no file can be made in the folder")
        if time.monotonic() - self._wrote_time < _WRITE_EVERY_SECONDS:
            return
        # Beside the sessions, whose names it does not have.
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
        """Let what has begun come to its end. Nothing may be asked of the store after it."""
        for pool in self._pools:
            pool.close()
