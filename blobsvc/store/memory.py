"""A blob store in memory, for tests and experiments. It behaves like the file-system store, but nothing is durable."""

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from blobsvc.domain.blob import checked_range
from blobsvc.domain.damage import DamagedBlobError
from blobsvc.domain.generation import Generation, GenerationClock
from blobsvc.domain.model import (
    BlobKey,
    BlobPage,
    ExpiredPage,
    ExpiredUpload,
    StoredBlob,
    UnfinishedUpload,
    UnlinkedBlob,
    Upload,
    UploadId,
    UploadOwner,
)
from blobsvc.domain.placement import STREAM_ONLY, WritePlacement
from blobsvc.domain.ports import Capacity, LocatedBlob, OpenedBlob, UploadFollower
from svckit.errors import Conflict, Invalid, NotFound, error_for
from svckit.oci.digest import Digest

_CHUNK_BYTES = 1024 * 1024


@dataclass
class _Session:
    upload: Upload
    last_write: datetime
    data: bytearray = field(default_factory=bytearray)
    held: bool = False
    finished_as: StoredBlob | None = None


class MemoryStore:
    """A blob store in memory.

    Attributes:
        id: the id of the store.
        uploads: takes uploads.
        blobs: reads blobs.
        admin: lists, deletes, expires.
        stored: each blob with its bytes. A test may damage them.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self.id = secrets.token_hex(16)
        sessions: dict[UploadId, _Session] = {}
        stored: dict[BlobKey, tuple[StoredBlob, bytes]] = {}
        unlinked: dict[BlobKey, UnlinkedBlob] = {}
        self.stored = stored
        self.uploads = MemoryUploads(sessions, stored, unlinked)
        self.blobs = MemoryBlobs(stored)
        self.admin = MemoryBlobAdmin(sessions, stored, unlinked)


class MemoryAppender:
    """`domain.ports.UploadAppender`."""

    def __init__(self, session: _Session) -> None:
        """Takes a session that is locked."""
        self._session = session

    async def append(self, data: bytes) -> None:
        """As the port says."""
        self._session.data += data
        self._session.last_write = datetime.now(UTC)

    async def commit(self) -> int:
        """As the port says."""
        return len(self._session.data)


class MemoryUploads:
    """`domain.ports.UploadWriter`."""

    def __init__(
        self,
        sessions: dict[UploadId, _Session],
        stored: dict[BlobKey, tuple[StoredBlob, bytes]],
        unlinked: dict[BlobKey, UnlinkedBlob],
    ) -> None:
        """Takes the sessions and blobs that all roles of one store share."""
        self._sessions = sessions
        self._stored = stored
        self._unlinked = unlinked
        self._generations = GenerationClock()

    async def start(self, owner: UploadOwner, algorithm: str) -> Upload:
        """As the port says."""
        start_time = datetime.now(UTC)
        upload = Upload(UploadId.new(), owner, algorithm, self._generations.next(), start_time)
        self._sessions[upload.id] = _Session(upload, last_write=start_time)
        return upload

    @asynccontextmanager
    async def open(self, upload_id: UploadId, offset: int | None = None) -> AsyncIterator[MemoryAppender]:
        """As the port says."""
        session = self._free(upload_id)
        size_bytes = len(session.data)
        if offset is not None and offset != size_bytes:
            raise Invalid(
                "RANGE_INVALID",
                f"the upload ends at {size_bytes}, not at {offset}",
                metadata={"committed_size": str(size_bytes)},
            )
        session.held = True
        try:
            yield MemoryAppender(session)
        finally:
            session.held = False

    async def append(self, upload_id: UploadId, data: bytes, offset: int | None = None) -> int:
        """As the port says."""
        async with self.open(upload_id, offset) as appender:
            await appender.append(data)
            return await appender.commit()

    def follow(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadFollower]:
        """As the port says: this store has no files."""
        raise error_for("UNSUPPORTED")

    async def placements(self, upload: Upload) -> tuple[WritePlacement, ...]:
        """As the port says."""
        return STREAM_ONLY

    async def status(self, upload_id: UploadId) -> int:
        """As the port says."""
        return len(self._living(upload_id).data)

    async def finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None = None) -> StoredBlob:
        """As the port says."""
        before = self._sessions.get(upload_id)
        if before is not None and before.finished_as is not None:
            if before.finished_as.digest != digest:
                raise NotFound("BLOB_UPLOAD_UNKNOWN")
            return before.finished_as
        session = self._free(upload_id)
        size_bytes = len(session.data)
        if expected_size_bytes is not None and expected_size_bytes != size_bytes:
            raise Invalid(
                "SIZE_INVALID",
                f"the upload has {size_bytes} bytes, not {expected_size_bytes}",
                metadata={"committed_size": str(size_bytes)},
            )
        if not digest.matches(session.data):
            del self._sessions[upload_id]
            raise Invalid("DIGEST_INVALID", metadata={"digest": str(digest)})
        blob = StoredBlob(BlobKey(digest, session.upload.generation), size_bytes, datetime.now(UTC))
        self._stored[blob.key] = blob, bytes(session.data)
        self._unlinked[blob.key] = UnlinkedBlob(blob, session.upload.owner)
        session.finished_as = blob
        session.data.clear()
        return blob

    async def cancel(self, upload_id: UploadId) -> None:
        """As the port says."""
        self._free(upload_id)
        del self._sessions[upload_id]

    def _living(self, upload_id: UploadId) -> _Session:
        session = self._sessions.get(upload_id)
        if session is None or session.finished_as is not None:
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        return session

    def _free(self, upload_id: UploadId) -> _Session:
        session = self._living(upload_id)
        if session.held:
            raise Conflict("UPLOAD_CONFLICT")
        return session


class MemoryBlobs:
    """`domain.ports.BlobReader`."""

    def __init__(self, stored: dict[BlobKey, tuple[StoredBlob, bytes]]) -> None:
        """Takes the blobs that all roles of one store share."""
        self._stored = stored

    async def stat(self, key: BlobKey) -> StoredBlob:
        """As the port says."""
        return self._found(key)[0]

    async def sizes(self, keys: Sequence[BlobKey]) -> list[int | None]:
        """As the port says."""
        return [self._stored[key][0].size_bytes if key in self._stored else None for key in keys]

    async def locate(self, key: BlobKey) -> LocatedBlob:
        """As the port says."""
        return LocatedBlob(await self.stat(key), STREAM_ONLY)

    @asynccontextmanager
    async def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AsyncIterator[OpenedBlob]:
        """As the port says."""
        blob, data = self._found(key)
        yield OpenedBlob(blob, _chunks(blob, data, checked_range(blob.size_bytes, offset, limit)))

    def _found(self, key: BlobKey) -> tuple[StoredBlob, bytes]:
        found = self._stored.get(key)
        if found is None:
            raise NotFound("BLOB_UNKNOWN")
        return found


class MemoryBlobAdmin:
    """`domain.ports.BlobAdmin`."""

    def __init__(
        self,
        sessions: dict[UploadId, _Session],
        stored: dict[BlobKey, tuple[StoredBlob, bytes]],
        unlinked: dict[BlobKey, UnlinkedBlob],
    ) -> None:
        """Takes the sessions and blobs that all roles of one store share."""
        self._sessions = sessions
        self._stored = stored
        self._unlinked = unlinked

    async def list(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[StoredBlob]:
        """As the port says."""
        found = [
            self._stored[key][0]
            for key in sorted(self._stored)
            if (after is None or key > after)
            and (finished_before is None or self._stored[key][0].create_time < finished_before)
        ]
        page = tuple(found[:limit])
        return BlobPage(page, page[-1].key if len(found) > limit else None)

    async def delete(self, key: BlobKey) -> None:
        """As the port says."""
        self._stored.pop(key, None)

    async def list_unfinished(self) -> Sequence[UnfinishedUpload]:
        """As the port says."""
        return [
            UnfinishedUpload(upload_id, session.upload.owner, len(session.data))
            for upload_id, session in self._sessions.items()
            if session.finished_as is None
        ]

    async def list_unlinked(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[UnlinkedBlob]:
        """As the port says."""
        found = [
            self._unlinked[key]
            for key in sorted(self._unlinked, key=_by_generation)
            if (after is None or _by_generation(key) > _by_generation(after))
            and (finished_before is None or self._unlinked[key].blob.create_time < finished_before)
        ]
        page = tuple(found[:limit])
        return BlobPage(page, page[-1].blob.key if len(found) > limit else None)

    async def capacity(self) -> Capacity:
        """As the port says, as if there were a tebibyte."""
        return Capacity(2**40, 2**40 - sum(len(content) for _, content in self._stored.values()))

    async def settle(self, keys: Iterable[BlobKey]) -> None:
        """As the port says."""
        for key in keys:
            self._unlinked.pop(key, None)

    async def expire_uploads(
        self,
        *,
        started_before: datetime,
        idle_since: datetime,
        finished_before: datetime,
        after: UploadId | None = None,
        limit: int = 1000,
        dry_run: bool = False,
    ) -> ExpiredPage:
        """As the port says."""
        expired: list[ExpiredUpload] = []
        for upload_id, session in sorted(self._sessions.items(), key=lambda item: item[0]):
            if after is not None and upload_id <= after:
                continue
            if len(expired) == limit:
                return ExpiredPage(tuple(expired), expired[-1].id)
            if session.finished_as is not None:
                if session.finished_as.create_time < finished_before and not dry_run:
                    del self._sessions[upload_id]
            elif not session.held and (session.upload.start_time < started_before or session.last_write < idle_since):
                expired.append(_expired(session))
                if not dry_run:
                    del self._sessions[upload_id]
        return ExpiredPage(tuple(expired), None)


def _expired(session: _Session) -> ExpiredUpload:
    return ExpiredUpload(
        id=session.upload.id,
        owner=session.upload.owner,
        size_bytes=len(session.data),
        start_time=session.upload.start_time,
        write_time=session.last_write,
    )


def _by_generation(key: BlobKey) -> tuple[Generation, Digest]:
    return key.generation, key.digest


async def _chunks(blob: StoredBlob, data: bytes, part: range) -> AsyncIterator[bytes]:
    for position in range(part.start, part.stop, _CHUNK_BYTES):
        end = min(position + _CHUNK_BYTES, part.stop)
        if end == part.stop and part == range(blob.size_bytes) and not blob.digest.matches(data):
            raise DamagedBlobError("digest")
        yield data[position:end]
