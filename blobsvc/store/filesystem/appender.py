"""Appends to an upload. The next bytes arrive while the last ones are written (`domain.ports.UploadAppender`)."""

import asyncio

from blobsvc.store.filesystem.session import HeldSession
from svckit.disk import disk_failures
from svckit.threads import BlockingPool

# While more bytes arrive, a thread writes and hashes at least this many at once.
_BATCH_BYTES = 1024 * 1024


class FileAppender:
    """Writes one batch in a thread while the next one arrives.

    So a stream keeps at most two batches in memory, and small messages share one call of a thread.
    """

    def __init__(self, session: HeldSession, pool: BlockingPool) -> None:
        """Takes a session, which must stay locked until `settle` has returned."""
        self._session = session
        self._pool = pool
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def append(self, data: bytes) -> None:
        """As the port says. A failed write raises in the next call."""
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
        """Write all bytes that were appended, also after the stream has failed. The port promises that they stay."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            # A failure here was raised by append or commit, or the caller has gone.
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
                # Shielded: without it, a cancelled caller would cancel the write of bytes that were already accepted.
                await asyncio.shield(self._writing)
            self._writing = None
