"""Appends to an upload, one step ahead of the disk (`domain.ports.UploadAppender`)."""

import asyncio

from blobsvc.store.filesystem.failures import disk_failures
from blobsvc.store.filesystem.session import HeldSession
from blobsvc.store.filesystem.threads import BlockingPool

# What is written and hashed in one turn of a thread, at least, while more is coming.
_BATCH_BYTES = 1024 * 1024


class FileAppender:
    """Writes one batch in a thread while the next one arrives.

    So a stream keeps two batches in memory and no more, and small messages cost no thread each.
    """

    def __init__(self, session: HeldSession, pool: BlockingPool) -> None:
        """Builds it on a session that is held until after `settle`."""
        self._session = session
        self._pool = pool
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def append(self, data: bytes) -> None:
        """As the port says. A failure shows at the next call."""
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._writing is not None and (self._writing.done() or self._batch_bytes >= _BATCH_BYTES):
            await self._written()
        if self._writing is None:
            self._write_batch()

    async def commit(self) -> int:
        """As the port says."""
        await self._written()
        if self._batch:
            self._write_batch()
            await self._written()
        with disk_failures():
            return await self._pool.run(self._session.sync)

    async def settle(self) -> None:
        """Let what is on its way arrive, after a failure as well. What was appended stays, though its stream broke."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            # Whoever called append or commit has heard of a failure, or has gone.
            failed = not self._writing.cancelled() and self._writing.exception() is not None
            if failed:
                return
        if self._batch:
            self._write_batch()
            await self.settle()

    def _write_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._writing = self._pool.run(self._session.write, batch)

    async def _written(self) -> None:
        if self._writing is not None:
            with disk_failures():
                # Shielded: a caller that goes away must not take out of the file what it has handed over.
                await asyncio.shield(self._writing)
            self._writing = None
