"""Writes bytes in a thread, while the next ones arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from svckit.disk import disk_failures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svckit.threads import BlockingPool

# While more bytes arrive, a thread writes at least this many at once.
_BATCH_BYTES = 1024 * 1024


class BatchedWrites:
    """Writes one batch in a thread while the next one arrives.

    So a stream keeps at most two batches in memory, and small messages share one call of a thread.
    """

    def __init__(self, pool: BlockingPool, write: Callable[[Sequence[bytes]], None]) -> None:
        """Takes the threads, and the function that one of them calls with each batch."""
        self._pool = pool
        self._write = write
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def append(self, *data: bytes) -> None:
        """Adds bytes. A failed write raises in the next call.

        Raises:
            DomainError: STORAGE_FULL, UNAVAILABLE.
        """
        self._batch += data
        self._batch_bytes += sum(map(len, data))
        if self._writing is not None and (self._writing.done() or self._batch_bytes >= _BATCH_BYTES):
            await self._written()
        if self._writing is None:
            self._write_batch()

    async def flush(self) -> None:
        """Returns when everything is written.

        Raises:
            DomainError: as `append`.
        """
        await self._written()
        if self._batch:
            self._write_batch()
            await self._written()

    async def settle(self) -> None:
        """Writes what was appended, also after the stream has failed; nothing more after a write that has failed."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            # A failure here was raised by append or flush, or the caller has gone. Bytes after a gap would be wrong.
            if self._writing.cancelled() or self._writing.exception() is not None:
                return
        if self._batch:
            self._write_batch()
            await self.settle()

    def _write_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._writing = self._pool.run(self._write, batch)

    async def _written(self) -> None:
        if self._writing is not None:
            with disk_failures():
                # Shielded: without it, a cancelled caller would cancel the write of bytes that were already accepted.
                await asyncio.shield(self._writing)
            self._writing = None
