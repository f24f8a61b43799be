"""Appends to an upload. The next bytes arrive while the last ones are written (`domain.ports.UploadAppender`)."""

from blobsvc.store.filesystem.session import HeldSession
from svckit.batched_writes import BatchedWrites
from svckit.disk import disk_failures
from svckit.threads import BlockingPool


class FileAppender:
    """Writes and hashes one batch in a thread while the next one arrives."""

    def __init__(self, session: HeldSession, pool: BlockingPool) -> None:
        """Takes a session, which must stay locked until `settle` has returned."""
        self._session = session
        self._pool = pool
        self._writes = BatchedWrites(pool, session.write)

    async def append(self, data: bytes) -> None:
        """As the port says. A failed write raises in the next call."""
        await self._writes.append(data)

    async def commit(self) -> int:
        """As the port says."""
        await self._writes.flush()
        with disk_failures():
            return await self._pool.run(self._session.sync)

    async def settle(self) -> None:
        """Write all bytes that were appended, also after the stream has failed. The port promises that they stay."""
        await self._writes.settle()
