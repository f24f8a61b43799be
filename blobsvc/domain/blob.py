"""Finished blobs: what they are, and how they are read on a grant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from blobsvc.domain.generation import Generation
from svckit.errors import Invalid, NotFound
from svckit.oci.digest import Digest
from svckit.oci.errors import DigestInvalidError
from svckit.tokens import Grant

if TYPE_CHECKING:
    from blobsvc.domain.ports import BlobReader

MAXIMUM_PAGE_SIZE = 1000
"""Blobs in one answer of a list, and how many there are unless said."""


@dataclass(frozen=True, slots=True, order=True)
class BlobKey:
    """What names stored bytes. Sorts by algorithm, hex digits, generation: the order of lists."""

    digest: Digest
    generation: Generation

    @classmethod
    def of(cls, digest: str, generation: int) -> "BlobKey":
        """Parse the two.

        Raises:
            DigestInvalidError: the digest is none.
            ValueError: the generation is none.
        """
        return cls(Digest.parse(digest), Generation(generation))


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One generation of a digest.

    Attributes:
        key: digest and generation.
        size_bytes: of it.
        create_time: when it was finished.
    """

    key: BlobKey
    size_bytes: int
    create_time: datetime

    @property
    def digest(self) -> Digest:
        """Of the bytes."""
        return self.key.digest

    @property
    def generation(self) -> Generation:
        """Which upload of the digest it is."""
        return self.key.generation


@dataclass(frozen=True, slots=True)
class BlobPage:
    """A part of a list.

    Attributes:
        blobs: in the order of their keys. It may hold fewer than asked for, even none, and not be the last page.
        next_after: where the next page begins; None after the last one.
    """

    blobs: tuple[StoredBlob, ...]
    next_after: BlobKey | None


def checked_range(size_bytes: int, offset: int, limit: int) -> range:
    """The positions that a read covers.

    Args:
        size_bytes: of the blob.
        offset: of the first byte.
        limit: bytes at most; 0 for all that follow.

    Raises:
        DomainError: RANGE_INVALID with `size`: offset or limit is negative, or the offset is not within the blob. 0
            always is, also within an empty one.
    """
    if offset < 0 or limit < 0 or (offset > 0 and offset >= size_bytes):
        raise Invalid("RANGE_INVALID", f"the blob has {size_bytes} bytes", metadata={"size": str(size_bytes)})
    return range(offset, min(offset + limit, size_bytes) if limit else size_bytes)


async def stat_blob(blobs: "BlobReader", grant: Grant) -> StoredBlob:
    """Give what is known of the blob that a grant names.

    Raises:
        DomainError: BLOB_UNKNOWN, it is gone, or is not what the grant says.
    """
    return _as_granted(await blobs.stat(_key_of(grant)), grant)


@asynccontextmanager
async def read_blob(blobs: "BlobReader", grant: Grant, offset: int, limit: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open a part of the blob that a grant names, and give its bytes in chunks of about 1 MiB.

    Args:
        offset: of the first byte.
        limit: bytes at most; 0 for all that follow.

    Raises:
        DomainError: BLOB_UNKNOWN, as `stat_blob`; RANGE_INVALID, the offset is not within the blob.
    """
    async with blobs.open(_key_of(grant), offset, limit) as opened:
        _as_granted(opened.blob, grant)
        yield opened.chunks


def _key_of(grant: Grant) -> BlobKey:
    try:
        return BlobKey.of(grant.digest, grant.generation)
    except (DigestInvalidError, ValueError):
        raise NotFound("BLOB_UNKNOWN") from None


def _as_granted(blob: StoredBlob, grant: Grant) -> StoredBlob:
    # A file that was cut short would be sent under a Content-Length that it cannot keep.
    if blob.size_bytes != grant.size:
        raise NotFound("BLOB_UNKNOWN", "the stored bytes are not what was finished")
    return blob
