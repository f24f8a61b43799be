"""The ports of a store, one for each role."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from blobsvc.domain.model import (
    BlobKey,
    BlobPage,
    ExpiredPage,
    StoredBlob,
    UnfinishedUpload,
    UnlinkedBlob,
    Upload,
    UploadId,
    UploadOwner,
)
from blobsvc.domain.placement import ReadPlacement, WriteFilePlacement, WritePlacement
from svckit.oci.digest import Digest


class UploadAppender(Protocol):
    """An upload that is locked for writing. Meanwhile nobody else can write, finish or cancel it."""

    async def append(self, data: bytes) -> None:
        """Add bytes. It may return before they are written.

        Raises:
            DomainError: UNAVAILABLE, these or earlier bytes could not be written. Bytes that were written stay.
        """

    async def commit(self) -> int:
        """Make the appended bytes durable, and return the size of the whole upload.

        Raises:
            DomainError: UNAVAILABLE.
        """


class UploadFollower(Protocol):
    """An upload whose file somebody else writes.

    Attributes:
        placement: the file, and how many bytes it had before.
    """

    @property
    def placement(self) -> WriteFilePlacement:
        """The file."""

    def grown(self, size_bytes: int) -> None:
        """Take note that the writer has come so far. The bytes are hashed in the background."""

    async def commit(self) -> int:
        """Make what was written durable, and return the size of the whole upload. The writer still holds the lock.

        Raises:
            DomainError: UNAVAILABLE.
        """


class UploadWriter(Protocol):
    """Starts, writes and ends uploads.

    A session begins with `start` and ends with `finish`, `cancel`, or when it expires (`BlobAdmin.expire_uploads`).
    Every method that takes an id raises BLOB_UPLOAD_UNKNOWN for a session that does not exist or has ended.
    """

    async def start(self, owner: UploadOwner, algorithm: str) -> Upload:
        """Begin a session; the algorithm is one of `svckit.oci.digest.ALGORITHMS`.

        Raises:
            DomainError: UNAVAILABLE.
        """

    def open(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadAppender]:
        """Lock a session for writing. Appended bytes stay, even if the block ends with an error.

        Args:
            upload_id: the session.
            offset: the size that the caller expects the upload to have; None to append at its end.

        Raises:
            DomainError: RANGE_INVALID with `committed_size`, the upload has another size; UPLOAD_CONFLICT, somebody
                else holds the lock.
        """

    async def append(self, upload_id: UploadId, data: bytes, offset: int | None = None) -> int:
        """Append few bytes at once, and return the committed size. As `open`, one append and its commit.

        Raises:
            DomainError: as `open`; STORAGE_FULL; UNAVAILABLE.
        """

    def follow(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadFollower]:
        """Let somebody else append to the file of a session. It locks the file itself, and so keeps others out.

        Args:
            upload_id: the session.
            offset: the size that the caller expects the upload to have; None to append at its end.

        Raises:
            DomainError: as `open`; UNSUPPORTED, the store has no files.
        """

    async def placements(self, upload: Upload) -> tuple[WritePlacement, ...]:
        """Return the ways to write an upload, best first. The stream is always among them.

        Only some callers may use the others (`domain.placement.write_placements_for`).

        Raises:
            DomainError: UNAVAILABLE.
        """

    async def status(self, upload_id: UploadId) -> int:
        """Make the stored bytes durable, and return their size."""

    async def finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None = None) -> StoredBlob:
        """Verify the bytes, and store them as the upload's generation of the digest. Durable when it returns.

        As long as a receipt is valid, a repeat with the same digest returns the same blob, even if its bytes have been
        deleted. The blob is listed by `BlobAdmin.list_unlinked` until `BlobAdmin.settle` names it.

        Raises:
            DomainError: SIZE_INVALID, and the session continues; DIGEST_INVALID, the bytes have another digest, and the
                session has ended; UPLOAD_CONFLICT, somebody else held the lock for several seconds.
        """

    async def cancel(self, upload_id: UploadId) -> None:
        """End a session and delete its bytes.

        Raises:
            DomainError: UPLOAD_CONFLICT, as `finish`.
        """


@dataclass(frozen=True, slots=True)
class OpenedBlob:
    """A part of an open blob.

    Attributes:
        blob: the whole blob.
        chunks: the bytes of the part, in order. It raises `DamagedBlobError` if the stored bytes end too early. If the
            part is the whole blob, it also raises it instead of the last chunk if the bytes do not match the digest.
    """

    blob: StoredBlob
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class LocatedBlob:
    """A blob, and how it may be read.

    Attributes:
        blob: the blob.
        placements: the ways to read it, best first.
    """

    blob: StoredBlob
    placements: tuple[ReadPlacement, ...]


class BlobReader(Protocol):
    """Reads finished blobs. Every method raises BLOB_UNKNOWN if the generation does not exist."""

    async def stat(self, key: BlobKey) -> StoredBlob:
        """Return size and time."""

    async def sizes(self, keys: Sequence[BlobKey]) -> list[int | None]:
        """Return the size of each generation, in the same order; None if it does not exist.

        Raises:
            DomainError: UNAVAILABLE, one of them cannot be looked at, or the store is not there.
        """

    async def locate(self, key: BlobKey) -> LocatedBlob:
        """Return the ways to read a blob. The stream is always among them."""

    def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AbstractAsyncContextManager[OpenedBlob]:
        """Open a part of a blob. An open part can be read to its end, even if the blob is deleted meanwhile.

        Args:
            key: the blob.
            offset: the position of the first byte.
            limit: the largest number of bytes; 0 for all up to the end.

        Raises:
            DomainError: RANGE_INVALID with `size`: offset or limit is negative, or the offset is not within the blob.
                The offset 0 is always valid.
        """


@dataclass(frozen=True, slots=True)
class Capacity:
    """The space for blobs.

    Attributes:
        total_bytes: the size of the disk.
        free_bytes: what blobs may still take of it.
    """

    total_bytes: int
    free_bytes: int


class BlobAdmin(Protocol):
    """The methods for garbage collection and for the removal of expired sessions."""

    async def capacity(self) -> Capacity:
        """Tell how much space there is."""

    async def list(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[StoredBlob]:
        """List generations by key.

        Args:
            after: the last key of the page before; None for the first page.
            limit: the largest number of blobs.
            finished_before: leaves out blobs that were finished at this time or later.
        """

    async def delete(self, key: BlobKey) -> None:
        """Delete one generation. It is not an error if the generation is already gone."""

    async def list_unfinished(self) -> Sequence[UnfinishedUpload]:
        """List the open sessions, in any order."""

    async def list_unlinked(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage[UnlinkedBlob]:
        """List finished uploads that are not settled, by generation.

        Args:
            after: the last key of the page before; None for the first page.
            limit: the largest number of blobs.
            finished_before: leaves out uploads that were finished at this time or later.
        """

    async def settle(self, keys: Iterable[BlobKey]) -> None:
        """Note that these generations are linked, or will be deleted. Unknown and settled ones are ignored."""

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
        """End expired sessions that nobody has locked, and return them.

        Args:
            started_before: sessions that were started before this time are ended.
            idle_since: sessions without a write since this time are ended.
            finished_before: a finish before this time can no longer be repeated, so its record is removed.
            after: the last id of the page before; None for the first page.
            limit: the largest number of sessions that are looked at more closely, and may be ended.
            dry_run: only return those that have expired.
        """


class Store(Protocol):
    """The three roles of one store."""

    @property
    def id(self) -> str:
        """The id of the store, which it keeps for ever."""

    @property
    def uploads(self) -> UploadWriter:
        """Takes uploads."""

    @property
    def blobs(self) -> BlobReader:
        """Reads blobs."""

    @property
    def admin(self) -> BlobAdmin:
        """Lists, deletes, expires."""
