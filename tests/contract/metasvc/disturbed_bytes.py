"""blobsvc's bytes for the state machine of healing: a blob store in memory, with other steps around each call."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from blobsvc.domain.damage import DamagedBlobError
from blobsvc.domain.model import BlobKey as FileKey
from blobsvc.store.memory import MemoryStore
from metasvc.domain.model import BlobKey
from metasvc.domain.ports import Capacity, StatedSizes, UnlinkedPage
from svckit.errors import DomainError
from svckit.tokens import Damage
from tests.contract.blobsvc.steps import read


class ProcessDied(Exception):
    """metasvc is killed at this moment."""


@dataclass(frozen=True)
class Uploaded:
    """A finished upload, and its receipt."""

    key: BlobKey
    size: int
    repository: str
    project_id: int
    time: datetime


class Bytes:
    """`domain.ports.BlobBytes` on a blob store. Before and after each call, other things happen.

    Attributes:
        meanwhile: what happens, the last first, each at one such moment.
        check_delete: called before each deletion. It fails if the bytes may still be needed.
    """

    def __init__(
        self, files: MemoryStore, uploads: Sequence[Uploaded], check_delete: Callable[[BlobKey], Awaitable[None]]
    ) -> None:
        self._files = files
        self._uploads = uploads
        self.check_delete = check_delete
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []

    async def sizes(self, keys: Sequence[BlobKey]) -> StatedSizes:
        await self._others()
        found = await self._files.blobs.sizes([file_key(key) for key in keys])
        await self._others()
        return StatedSizes(self._files.id, found)

    async def capacity(self) -> Capacity:
        found = await self._files.admin.capacity()
        return Capacity(found.total_bytes, found.free_bytes)

    async def delete(self, key: BlobKey) -> None:
        await self._others()
        await self.check_delete(key)
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
        old = [one.key for one in self._uploads if one.time < finished_before]
        return UnlinkedPage([key for key in old if file_key(key) in waiting], "")

    async def _others(self) -> None:
        if self.meanwhile:
            await self.meanwhile.pop()()


def file_key(key: BlobKey) -> FileKey:
    return FileKey.of(key.digest, key.generation)


def damage_bytes(files: MemoryStore, key: BlobKey, how: str) -> bool:
    """The bytes of a generation are lost, changed, or cut short. Returns whether they were there."""
    if file_key(key) not in files.stored:
        return False
    blob, data = files.stored[file_key(key)]
    match how:
        case "gone":
            del files.stored[file_key(key)]
        case "changed":
            files.stored[file_key(key)] = blob, data[:-1] + b"?"
        case _:
            files.stored[file_key(key)] = replace(blob, size_bytes=blob.size_bytes - 1), data[:-1]
    return True


async def damage_of(files: MemoryStore, key: BlobKey) -> Damage | None:
    """What a read of the whole blob finds."""
    try:
        await read(files.blobs, file_key(key))
    except DamagedBlobError as error:
        return error.damage
    except DomainError:
        return "missing"
    return None


@contextmanager
def suppress_refusals(*reasons: str) -> Iterator[None]:
    """Errors that a client may get at that moment."""
    try:
        yield
    except DomainError as error:
        if error.reason not in reasons:
            raise
