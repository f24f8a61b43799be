"""Resumable uploads: the use cases."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from blobsvc.domain.model import ExpiredPage, Upload, UploadId, UploadOwner
from blobsvc.domain.placement import WritePlacement, write_placements_for
from blobsvc.domain.ports import BlobAdmin, UploadWriter
from blobsvc.domain.unlinked import UnlinkedBytes
from svckit.errors import DomainError, NotFound
from svckit.oci.digest import Digest
from svckit.tokens import Receipt, UploadTicket
from svckit.tokens.signer import TokenSigner


@dataclass(frozen=True, slots=True)
class UploadLifetimes:
    """How long sessions live.

    Attributes:
        total_seconds: the longest time from the start, even while bytes arrive.
        idle_seconds: the longest time since the last byte.
        receipt_seconds: how long a finish can be repeated, which is as long as its receipt is valid.

    A ticket is valid for `total_seconds`.
    """

    total_seconds: int
    idle_seconds: int
    receipt_seconds: int = Receipt.lifetime_seconds or 3600


@dataclass(frozen=True, slots=True)
class UploadPorts:
    """The ports of the use cases.

    Attributes:
        uploads: the writer of the store.
        signer: signs tickets and receipts.
        lifetimes: how long sessions live.
        unlinked: bounds the bytes of uploads that no repository serves yet.
    """

    uploads: UploadWriter
    signer: TokenSigner
    lifetimes: UploadLifetimes
    unlinked: UnlinkedBytes


@dataclass(frozen=True, slots=True)
class StartedUpload:
    """The result of a start.

    Attributes:
        upload: the upload.
        ticket: the signed ticket. A secret; `repr` hides it.
        placements: the ways to write it that this caller may use, best first.
        expire_time: when the session ends if nothing is written.
    """

    upload: Upload
    ticket: str = field(repr=False)
    placements: tuple[WritePlacement, ...]
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class FinishedUpload:
    """The result of a finish.

    Attributes:
        receipt: the signed receipt. A secret; `repr` hides it.
        size_bytes: the size of the blob.
    """

    receipt: str = field(repr=False)
    size_bytes: int


async def start_upload(
    ports: UploadPorts,
    owner: UploadOwner,
    algorithm: str,
    *,
    expected_size_bytes: int | None,
    caller_service: str | None,
) -> StartedUpload:
    """Start an upload and sign its ticket.

    Args:
        ports: the ports of the use cases.
        owner: the repository and the caller that it belongs to.
        algorithm: the algorithm of its digest.
        expected_size_bytes: the size that it will have; None if unknown.
        caller_service: the calling service, or None. It decides which placements are offered.

    Raises:
        DomainError: UPLOADS_EXCEEDED; UNAVAILABLE, the store cannot create the session.
    """
    ports.unlinked.require_start(owner, expected_size_bytes or 0)
    upload = await ports.uploads.start(owner, algorithm)
    ports.unlinked.put(upload.id, owner, 0)
    placements = write_placements_for(caller_service, await ports.uploads.placements(upload))
    ticket = ports.signer.sign(
        UploadTicket(
            subject=owner.subject,
            upload_id=str(upload.id),
            repository=owner.repository,
            project_id=owner.project_id,
        ),
        lifetime_seconds=ports.lifetimes.total_seconds,
    )
    idle = timedelta(seconds=min(ports.lifetimes.idle_seconds, ports.lifetimes.total_seconds))
    return StartedUpload(upload, ticket.text, placements, expire_time=datetime.now(UTC) + idle)


async def write_upload(
    ports: UploadPorts,
    ticket: UploadTicket,
    repository: str,
    offset: int | None,
    chunks: AsyncIterator[bytes],
    *,
    size_bytes: int | None,
) -> int:
    """Append bytes, and return the committed size: the number of bytes that survive a crash.

    If `chunks` raises, the bytes before that stay.

    Args:
        repository: the repository in the request; empty to use the ticket's.
        offset: the position of the first byte; None to append at the end.
        chunks: bytes, at most 4 MiB each.
        size_bytes: the size of all chunks; None if unknown.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; RANGE_INVALID with `committed_size`; UPLOAD_CONFLICT, another caller is
            writing; UPLOADS_EXCEEDED; STORAGE_FULL; UNAVAILABLE.
    """
    upload_id = upload_of(ticket, repository)
    owner = UploadOwner(ticket.repository, ticket.project_id, ticket.subject)
    async with ports.uploads.open(upload_id, offset) as appender:
        if size_bytes is not None:
            ports.unlinked.require_room(owner, size_bytes)
        async for data in chunks:
            ports.unlinked.grow(upload_id, owner, len(data))
            await appender.append(data)
        committed = await appender.commit()
        ports.unlinked.put(upload_id, owner, committed)
        return committed


async def append_upload(
    ports: UploadPorts, ticket: UploadTicket, repository: str, offset: int | None, data: bytes
) -> int:
    """Append few bytes at once, and return the committed size.

    Raises:
        DomainError: as `write_upload`.
    """
    upload_id = upload_of(ticket, repository)
    owner = UploadOwner(ticket.repository, ticket.project_id, ticket.subject)
    with ports.unlinked.reserved(owner, len(data)):
        committed = await ports.uploads.append(upload_id, data, offset)
        ports.unlinked.put(upload_id, owner, committed)
        return committed


async def upload_status(ports: UploadPorts, ticket: UploadTicket, repository: str) -> int:
    """Return the committed size.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN, also for a finished upload.
    """
    return await ports.uploads.status(upload_of(ticket, repository))


async def finish_upload(
    ports: UploadPorts, ticket: UploadTicket, repository: str, digest: Digest, expected_size_bytes: int | None
) -> FinishedUpload:
    """Verify the bytes, store them as a new generation, and sign a receipt.

    A repeat signs a new receipt for the same generation. It expires when the first one does: an upload that nobody has
    linked by then may be deleted, so no receipt may outlive that.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; SIZE_INVALID, and the session continues; DIGEST_INVALID, and the session has
            ended; UPLOAD_CONFLICT, another caller is still writing; UNAVAILABLE.
    """
    upload_id = upload_of(ticket, repository)
    try:
        blob = await ports.uploads.finish(upload_id, digest, expected_size_bytes)
    except DomainError as error:
        if error.reason == "DIGEST_INVALID":
            ports.unlinked.remove(upload_id)
        raise
    ports.unlinked.finish(upload_id, blob.key)
    expire_time = blob.create_time + timedelta(seconds=ports.lifetimes.receipt_seconds)
    remaining_seconds = int((expire_time - datetime.now(UTC)).total_seconds())
    if remaining_seconds <= 0:
        raise NotFound("BLOB_UPLOAD_UNKNOWN")
    receipt = ports.signer.sign(
        Receipt(
            subject=ticket.subject,
            repository=ticket.repository,
            project_id=ticket.project_id,
            digest=str(blob.digest),
            generation=blob.generation.number,
            size=blob.size_bytes,
            upload_time=ticket.upload_time,
        ),
        lifetime_seconds=remaining_seconds,
    )
    return FinishedUpload(receipt=receipt.text, size_bytes=blob.size_bytes)


async def cancel_upload(ports: UploadPorts, ticket: UploadTicket, repository: str) -> None:
    """End an upload and delete its bytes.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; UPLOAD_CONFLICT, another caller is still writing.
    """
    upload_id = upload_of(ticket, repository)
    await ports.uploads.cancel(upload_id)
    ports.unlinked.remove(upload_id)


async def purge_uploads(
    ports: UploadPorts, admin: BlobAdmin, *, after: UploadId | None, limit: int, dry_run: bool, now: datetime
) -> ExpiredPage:
    """End a page of the sessions that have expired, and forget finishes that can no longer be repeated.

    Args:
        ports: the ports of the use cases.
        admin: the administration of the same store.
        after: the last id of the page before; None for the first page.
        limit: the largest number of sessions.
        dry_run: only return those that have expired. One that somebody has locked is among them.
        now: the time.

    Raises:
        DomainError: UNAVAILABLE.
    """
    page = await admin.expire_uploads(
        started_before=now - timedelta(seconds=ports.lifetimes.total_seconds),
        idle_since=now - timedelta(seconds=ports.lifetimes.idle_seconds),
        finished_before=now - timedelta(seconds=ports.lifetimes.receipt_seconds),
        after=after,
        limit=limit,
        dry_run=dry_run,
    )
    if not dry_run:
        for upload in page.uploads:
            ports.unlinked.remove(upload.id)
    return page


def upload_of(ticket: UploadTicket, repository: str) -> UploadId:
    """The upload that a ticket names.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN, the request names another repository.
    """
    # A session does not exist under another repository. The distribution registry behaves in the same way.
    if repository and repository != ticket.repository:
        raise NotFound("BLOB_UPLOAD_UNKNOWN")
    try:
        return UploadId(ticket.upload_id)
    except ValueError:
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None
