"""blobsvc's bytes for the state machine: a real file store, with other steps before and after each call."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from blobsvc.domain.model import BlobKey as FileKey
from blobsvc.store.filesystem import FileStore
from metasvc.domain.model import BlobKey
from metasvc.domain.ports import StatedSizes, UnlinkedPage
from svckit.errors import DomainError


class ProcessDied(Exception):
    """metasvc is killed at this moment."""


@dataclass(frozen=True)
class Uploaded:
    """A finished upload, and its receipt."""

    key: FileKey
    size: int
    repository: str
    project_id: int
    time: datetime

    @property
    def named(self) -> BlobKey:
        return BlobKey(str(self.key.digest), self.key.generation.number)


class Bytes:
    """`domain.ports.BlobBytes` on a real file store. Before and after each call, other things happen."""

    def __init__(self, files: FileStore, uploads: Sequence[Uploaded]) -> None:
        self._files = files
        self._uploads = uploads
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []

    async def sizes(self, keys: Sequence[BlobKey]) -> StatedSizes:
        await self._others()
        found = await self._files.blobs.sizes([file_key(key) for key in keys])
        await self._others()
        return StatedSizes(self._files.id, found)

    async def delete(self, key: BlobKey) -> None:
        await self._others()
        await self._files.admin.delete(file_key(key))
        await self._others()

    async def settle(self, keys: Sequence[BlobKey]) -> None:
        await self._others()
        await self._files.admin.settle([file_key(key) for key in keys])

    async def unlinked(self, finished_before: datetime, page_token: str) -> UnlinkedPage:
        # The store has the clock of this machine, so the times of the test are looked up here.
        page = await self._files.admin.list_unlinked(limit=1000)
        waiting = {one.blob.key for one in page.blobs}
        await self._others()
        old = [one for one in self._uploads if one.time < finished_before]
        return UnlinkedPage([one.named for one in old if one.key in waiting], "")

    async def _others(self) -> None:
        if self.meanwhile:
            await self.meanwhile.pop()()


def file_key(key: BlobKey) -> FileKey:
    return FileKey.of(key.digest, key.generation)


@contextmanager
def suppress_refusals(*reasons: str) -> Iterator[None]:
    """Errors that a client may get at that moment."""
    try:
        yield
    except DomainError as error:
        if error.reason not in reasons:
            raise
