"""What the service wants of a store, by role."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from blobsvc.domain.model import BlobKey, BlobPage, StoredBlob, Upload, UploadId, UploadOwner
from blobsvc.domain.placement import ReadPlacement, WritePlacement
from svckit.oci.digest import Digest


class UploadAppender(Protocol):
    """An upload that is held for writing: meanwhile nobody else writes, finishes or cancels it."""

    async def append(self, data: bytes) -> None:
        """Add bytes. It returns once the store has taken them over, which may be before they are written.

        Raises:
            DomainError: UNAVAILABLE, these or earlier bytes could not be written. What could be stays.
        """

    async def commit(self) -> int:
        """Make durable what was appended, and give the size of the whole upload.

        Raises:
            DomainError: UNAVAILABLE.
        """


class UploadWriter(Protocol):
    """Takes uploads from their start to their end.

    A session begins with `start` and ends with `finish`, `cancel`, or when it expires (`BlobAdmin.expire_uploads`).
    Every method that takes an id raises BLOB_UPLOAD_UNKNOWN for a session that never was or has ended.
    """

    async def start(self, owner: UploadOwner, algorithm: str) -> Upload:
        """Begin a session; the algorithm is one of `svckit.oci.digest.ALGORITHMS`.

        Raises:
            DomainError: UNAVAILABLE.
        """

    def open(self, upload_id: UploadId, offset: int | None = None) -> AbstractAsyncContextManager[UploadAppender]:
        """Hold a session for writing. What was appended stays, however the block ends, and is hashed in passing.

        Args:
            upload_id: which.
            offset: where the caller believes that the upload ends; None where it does not say.

        Raises:
            DomainError: RANGE_INVALID with `committed_size`, the upload ends elsewhere; UPLOAD_CONFLICT, somebody else
                holds it.
        """

    async def placements(self, upload: Upload) -> tuple[WritePlacement, ...]:
        """Give the ways to write an upload, best first. The stream is always among them.

        Not every caller may be told of the others (`domain.placement.write_placements_for`).

        Raises:
            DomainError: UNAVAILABLE.
        """

    async def status(self, upload_id: UploadId) -> int:
        """Give the size of what is stored, once it is durable."""

    async def finish(self, upload_id: UploadId, digest: Digest, expected_size_bytes: int | None = None) -> StoredBlob:
        """Verify the bytes, and store them as the upload's generation of the digest. Durable when it returns.

        For as long as a receipt lives, a repeat with the same digest gives the same blob.

        Raises:
            DomainError: SIZE_INVALID, and the session goes on; DIGEST_INVALID, the bytes have another digest, and the
                session has ended; UPLOAD_CONFLICT, somebody else holds it and did not let go within some seconds.
        """

    async def cancel(self, upload_id: UploadId) -> None:
        """End a session and forget its bytes.

        Raises:
            DomainError: UPLOAD_CONFLICT, as `finish`.
        """


@dataclass(frozen=True, slots=True)
class OpenedBlob:
    """A part of a blob, held open.

    Attributes:
        blob: the whole blob.
        chunks: the bytes of the part, in order. It raises BLOB_UNKNOWN where the stored bytes end too early.
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
    """Reads what is finished. Every method raises BLOB_UNKNOWN where there is no such generation."""

    async def stat(self, key: BlobKey) -> StoredBlob:
        """Give size and time."""

    async def locate(self, key: BlobKey) -> LocatedBlob:
        """Give the ways to read a blob. The stream is always among them."""

    def open(self, key: BlobKey, offset: int = 0, limit: int = 0) -> AbstractAsyncContextManager[OpenedBlob]:
        """Hold a part of a blob open. A delete meanwhile takes nothing away from it.

        Args:
            key: which.
            offset: of the first byte.
            limit: bytes at most; 0 for all that follow.

        Raises:
            DomainError: RANGE_INVALID with `size`: offset or limit is negative, or the offset is not within the blob
                (0 always is).
        """


class BlobAdmin(Protocol):
    """What the collector and the sweep of dead sessions need."""

    async def list(
        self, *, after: BlobKey | None = None, limit: int = 1000, finished_before: datetime | None = None
    ) -> BlobPage:
        """List generations by key.

        Args:
            after: the key before the first one wanted.
            limit: blobs at most.
            finished_before: leaves out what was finished at this time or later.
        """

    async def delete(self, key: BlobKey) -> None:
        """Delete one generation. Deleting what is gone succeeds."""

    async def expire_uploads(self, *, started_before: datetime, idle_since: datetime, finished_before: datetime) -> int:
        """End sessions that have lived too long, unless somebody holds them, and give their number.

        Args:
            started_before: ends those that began before.
            idle_since: ends those that took no byte since.
            finished_before: forgets how to repeat a finish that came before.
        """


class Store(Protocol):
    """The three roles of one store."""

    @property
    def uploads(self) -> UploadWriter:
        """Takes uploads."""

    @property
    def blobs(self) -> BlobReader:
        """Reads blobs."""

    @property
    def admin(self) -> BlobAdmin:
        """Lists, deletes, expires."""
