"""Finished blobs: how to locate and read them with a grant."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from blobsvc.domain.damage import DamagedBlobError, ReadPorts, signing_damage
from blobsvc.domain.model import BlobKey, StoredBlob
from blobsvc.domain.placement import PlacementKind, of_kinds
from blobsvc.domain.ports import LocatedBlob
from svckit.errors import DomainError, Invalid, NotFound
from svckit.oci.errors import DigestInvalidError
from svckit.tokens import Grant


def checked_range(size_bytes: int, offset: int, limit: int) -> range:
    """The positions that a read covers.

    Args:
        size_bytes: the size of the blob.
        offset: the position of the first byte.
        limit: the largest number of bytes; 0 for all up to the end.

    Raises:
        DomainError: RANGE_INVALID with `size`: offset or limit is negative, or the offset is not within the blob. The
            offset 0 is always valid, even in an empty blob.
    """
    if offset < 0 or limit < 0 or (offset > 0 and offset >= size_bytes):
        raise Invalid("RANGE_INVALID", f"the blob has {size_bytes} bytes", metadata={"size": str(size_bytes)})
    return range(offset, min(offset + limit, size_bytes) if limit else size_bytes)


async def stat_blob(ports: ReadPorts, grant: Grant) -> StoredBlob:
    """Return size and time of the blob that a grant names.

    Raises:
        DomainError: BLOB_DAMAGED with `finding`: the file is missing, or its size differs from the grant;
            BLOB_UNKNOWN, the grant names no possible blob; UNAVAILABLE.
    """
    key = _key_of(grant)
    with signing_damage(ports, key):
        return _as_granted(await ports.blobs.stat(key), grant)


async def locate_blob(ports: ReadPorts, grant: Grant, kinds: Collection[PlacementKind] | None) -> LocatedBlob:
    """Return the ways to read the blob that a grant names.

    Args:
        ports: the reader of the store, and what signs findings.
        grant: the caller's grant.
        kinds: the kinds of placement that the caller can use; None for all.

    Raises:
        DomainError: as `stat_blob`.
    """
    key = _key_of(grant)
    with signing_damage(ports, key):
        located = await ports.blobs.locate(key)
        _as_granted(located.blob, grant)
    return located if kinds is None else replace(located, placements=of_kinds(kinds, located.placements))


@asynccontextmanager
async def read_blob(ports: ReadPorts, grant: Grant, offset: int, limit: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open a part of the blob that a grant names, and yield its bytes in chunks of 1 MiB at most.

    If the part is the whole blob, the bytes are verified, and the last chunk comes only if they match the digest.

    Args:
        ports: the reader of the store, and what signs findings.
        grant: the caller's grant.
        offset: the position of the first byte.
        limit: the largest number of bytes; 0 for all up to the end.

    Raises:
        DomainError: as `stat_blob`, also from the chunks; RANGE_INVALID, the offset is not within the blob.
    """
    key = _key_of(grant)
    with signing_damage(ports, key):
        try:
            async with ports.blobs.open(key, offset, limit) as opened:
                _as_granted(opened.blob, grant)
                yield opened.chunks
        except DomainError as error:
            # The offset may be within the blob that was uploaded, and behind the end of its truncated file.
            if error.reason == "RANGE_INVALID" and error.metadata.get("size") != str(grant.size):
                raise DamagedBlobError("size") from error
            raise


def _key_of(grant: Grant) -> BlobKey:
    try:
        return BlobKey.of(grant.digest, grant.generation)
    except (DigestInvalidError, ValueError):
        raise NotFound("BLOB_UNKNOWN") from None


def _as_granted(blob: StoredBlob, grant: Grant) -> StoredBlob:
    # The gateway sends the grant's size as Content-Length. A truncated file would have fewer bytes than that.
    if blob.size_bytes != grant.size:
        raise DamagedBlobError("size")
    return blob
