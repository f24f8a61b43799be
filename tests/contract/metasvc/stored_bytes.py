"""blobsvc's files without blobsvc, and what metasvc logs about them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from metasvc.domain.model import BlobKey
from metasvc.domain.ports import Capacity, StatedSizes, UnlinkedPage
from svckit.sql.database import Database
from svckit.tokens import Damage


@dataclass
class Bytes:
    """blobsvc's files, in memory; see `domain.ports.BlobBytes`. Every live generation has its file, unless said.

    Attributes:
        database: of metasvc.
        store_id: the id of the store.
        files: the sizes of files, by generation, where they are not as metasvc knows them; None if there is no file.
        deleted: the generations that were deleted.
        settled: the generations that blobsvc was told about.
        waiting: finished generations that are not settled, and when they were finished.
        failure: raised instead of an answer.
        before_answer: done before sizes are told.
    """

    database: Database
    store_id: str = "store"
    files: dict[BlobKey, int | None] = field(default_factory=dict)
    deleted: list[BlobKey] = field(default_factory=list)
    settled: list[BlobKey] = field(default_factory=list)
    waiting: dict[BlobKey, datetime] = field(default_factory=dict)
    failure: Exception | None = None
    before_answer: Callable[[], Awaitable[object]] | None = None
    asked: list[BlobKey] = field(default_factory=list)

    async def capacity(self) -> Capacity:
        if self.failure is not None:
            raise self.failure
        return Capacity(total_bytes=2**40, free_bytes=2**39)

    def finish(self, key: BlobKey, time: datetime) -> None:
        """Finishes an upload, which nobody has linked yet."""
        self.waiting[key] = time

    async def sizes(self, keys: Sequence[BlobKey]) -> StatedSizes:
        self.asked += keys
        found = [self.files[key] if key in self.files else await self._known_size(key) for key in keys]
        if self.before_answer is not None:
            await self.before_answer()
        self._fail()
        return StatedSizes(self.store_id, found)

    async def delete(self, key: BlobKey) -> None:
        self._fail()
        self.files[key] = None
        self.deleted.append(key)

    async def settle(self, keys: Sequence[BlobKey]) -> None:
        self._fail()
        self.settled += keys
        self.waiting = {key: time for key, time in self.waiting.items() if key not in keys}

    async def unlinked(self, finished_before: datetime, page_token: str) -> UnlinkedPage:
        self._fail()
        old = (key for key, time in self.waiting.items() if time < finished_before)
        later = sorted(key for key in old if f"{key.digest} {key.generation}" > page_token)
        page = later[:2]
        return UnlinkedPage(page, f"{page[-1].digest} {page[-1].generation}" if len(later) > 2 else "")

    async def _known_size(self, key: BlobKey) -> int | None:
        statement = text("SELECT size FROM blob WHERE digest = :digest AND generation = :generation")
        async with self.database.read() as conn:
            size: int | None = await conn.scalar(statement, {"digest": key.digest, "generation": key.generation})
        return size

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@dataclass
class Findings:
    """What was found and deleted; see `domain.ports.BlobLog`."""

    found: list[tuple[BlobKey, Damage, str]] = field(default_factory=list)
    deletions: int = 0
    other_stores: list[tuple[str, str]] = field(default_factory=list)
    forgotten_stores: list[str] = field(default_factory=list)

    def damaged(self, key: BlobKey, damage: Damage, found_by: str) -> None:
        self.found.append((key, damage, found_by))

    def other_store(self, known: str, found: str) -> None:
        self.other_stores.append((known, found))

    def forgotten_store(self, known: str) -> None:
        self.forgotten_stores.append(known)

    def deleted(self, generations: int) -> None:
        self.deletions += generations
