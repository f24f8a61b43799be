"""A file store that also offers addresses that lead nowhere, as a store of objects will offer its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

from blobsvc.domain.model import BlobKey, StoredBlob, Upload, UploadId, UploadOwner
from blobsvc.domain.placement import (
    HttpHeader,
    ReadUrlPlacement,
    UrlPart,
    WritePlacement,
    WriteUrlPlacement,
)
from blobsvc.domain.ports import LocatedBlob, OpenedBlob, UploadAppender, UploadFollower
from blobsvc.store.filesystem import FileStore
from svckit.oci.digest import Digest

NEXT_YEAR = datetime(2100, 1, 1, tzinfo=UTC)
READ_URL = ReadUrlPlacement(
    "https://store.example/blob?signature=1", NEXT_YEAR, (HttpHeader("x-key", "1"),), accepts_ranges=False
)
WRITE_URL = WriteUrlPlacement(
    (
        UrlPart(1, "https://store.example/upload?part=1", (HttpHeader("x-key", "1"), HttpHeader("x-sum", "a="))),
        UrlPart(2, "https://store.example/upload?part=2"),
    ),
    minimum_part_size_bytes=5 * 1024**2,
    maximum_part_size_bytes=5 * 1024**3,
    expire_time=NEXT_YEAR,
)


class PlacingUploads:
    """`domain.ports.UploadWriter`."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def start(self, owner: UploadOwner, algorithm: str) -> Upload:
        return await self._store.uploads.start(owner, algorithm)

    async def placements(self, upload: Upload) -> tuple[WritePlacement, ...]:
        file, *others = await self._store.uploads.placements(upload)
        return (file, WRITE_URL, *others)

    def open(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadAppender]:
        return self._store.uploads.open(upload_id, offset)

    def follow(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadFollower]:
        return self._store.uploads.follow(upload_id, offset)

    async def append(self, upload_id: UploadId, data: bytes, offset: int | None = None) -> int:
        return await self._store.uploads.append(upload_id, data, offset)

    async def status(self, upload_id: UploadId) -> int:
        return await self._store.uploads.status(upload_id)

    async def finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None = None) -> StoredBlob:
        return await self._store.uploads.finish(upload_id, digest, expected_size_bytes)

    async def cancel(self, upload_id: UploadId) -> None:
        await self._store.uploads.cancel(upload_id)


class PlacingBlobs:
    """`domain.ports.BlobReader`."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def stat(self, key: BlobKey) -> StoredBlob:
        return await self._store.blobs.stat(key)

    async def sizes(self, keys: Sequence[BlobKey]) -> list[int | None]:
        return await self._store.blobs.sizes(keys)

    async def locate(self, key: BlobKey) -> LocatedBlob:
        located = await self._store.blobs.locate(key)
        file, *others = located.placements
        return LocatedBlob(located.blob, (file, READ_URL, *others))

    @asynccontextmanager
    async def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AsyncIterator[OpenedBlob]:
        async with self._store.blobs.open(key, offset, limit) as opened:
            yield opened
