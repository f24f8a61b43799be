"""Resumable uploads: what a caller may do with one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from blobsvc.domain.model import Upload, UploadId, UploadOwner
from blobsvc.domain.placement import WritePlacement, write_placements_for
from blobsvc.domain.ports import BlobAdmin, UploadWriter
from svckit.errors import NotFound
from svckit.oci.digest import Digest
from svckit.tokens import Receipt, UploadTicket
from svckit.tokens.signer import TokenSigner


@dataclass(frozen=True, slots=True)
class UploadLifetimes:
    """How long sessions live.

    Attributes:
        total_seconds: from the start, whatever is written.
        idle_seconds: since the last byte.
        receipt_seconds: how long a finish can be repeated: as long as its receipt lives.
    """

    total_seconds: int
    idle_seconds: int
    receipt_seconds: int = Receipt.lifetime_seconds or 3600

    @property
    def ticket_seconds(self) -> int:
        """A ticket outlives its session by the time in which a finish may be repeated.

        Until then the owner of a session that has ended hears that the upload is unknown, and not that the ticket is
        bad.
        """
        return self.total_seconds + self.receipt_seconds


@dataclass(frozen=True, slots=True)
class UploadPorts:
    """What the use cases of uploads need.

    Attributes:
        uploads: of the store.
        signer: of tickets and receipts.
        lifetimes: of sessions.
    """

    uploads: UploadWriter
    signer: TokenSigner
    lifetimes: UploadLifetimes


@dataclass(frozen=True, slots=True)
class StartedUpload:
    """What the caller of a start is told.

    Attributes:
        upload: the upload.
        ticket: the signed ticket. A secret; `repr` hides it.
        placements: the ways to write it that this caller may take, best first.
        expire_time: when the session ends if nothing is written.
    """

    upload: Upload
    ticket: str = field(repr=False)
    placements: tuple[WritePlacement, ...]
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class FinishedUpload:
    """What the caller of a finish is told.

    Attributes:
        receipt: the signed receipt. A secret; `repr` hides it.
        size_bytes: of the blob.
    """

    receipt: str = field(repr=False)
    size_bytes: int


async def start_upload(
    ports: UploadPorts, owner: UploadOwner, algorithm: str, *, caller_service: str | None
) -> StartedUpload:
    """Begin an upload and sign its ticket.

    Args:
        ports: what it needs.
        owner: for whom it is begun.
        algorithm: that its digest will have.
        caller_service: the service that calls, where one does; it decides which placements are offered.

    Raises:
        DomainError: UNAVAILABLE, the store cannot take it.
    """
    upload = await ports.uploads.start(owner, algorithm)
    placements = write_placements_for(caller_service, await ports.uploads.placements(upload))
    ticket = ports.signer.sign(
        UploadTicket(
            subject=owner.subject,
            upload_id=str(upload.id),
            repository=owner.repository,
            project_id=owner.project_id,
        ),
        lifetime_seconds=ports.lifetimes.ticket_seconds,
    )
    idle = timedelta(seconds=min(ports.lifetimes.idle_seconds, ports.lifetimes.total_seconds))
    return StartedUpload(upload, ticket.text, placements, expire_time=datetime.now(UTC) + idle)


async def write_upload(
    ports: UploadPorts, ticket: UploadTicket, repository: str, offset: int | None, chunks: AsyncIterator[bytes]
) -> int:
    """Append bytes, and give the committed size: what survives a crash.

    What was appended before `chunks` raises stays.

    Args:
        repository: that the caller names; empty to leave it to the ticket.
        offset: where the bytes belong; None for wherever the upload ends.
        chunks: of 4 MiB at most.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; RANGE_INVALID with `committed_size`; UPLOAD_CONFLICT, another one is writing;
            UNAVAILABLE, the store is full.
    """
    async with ports.uploads.open(_upload_of(ticket, repository), offset) as appender:
        async for data in chunks:
            await appender.append(data)
        return await appender.commit()


async def upload_status(ports: UploadPorts, ticket: UploadTicket, repository: str) -> int:
    """Give the committed size.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN, also once it is finished.
    """
    return await ports.uploads.status(_upload_of(ticket, repository))


async def finish_upload(
    ports: UploadPorts, ticket: UploadTicket, repository: str, digest: Digest, expected_size_bytes: int | None
) -> FinishedUpload:
    """Verify the bytes, store them as a new generation, and sign a receipt.

    A repeat signs a new receipt for the same generation.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; SIZE_INVALID, and the session lives; DIGEST_INVALID, and it has ended;
            UPLOAD_CONFLICT, another one is still writing; UNAVAILABLE.
    """
    blob = await ports.uploads.finish(_upload_of(ticket, repository), digest, expected_size_bytes)
    receipt = ports.signer.sign(
        Receipt(
            subject=ticket.subject,
            repository=ticket.repository,
            project_id=ticket.project_id,
            digest=str(blob.digest),
            generation=blob.generation.number,
            size=blob.size_bytes,
        )
    )
    return FinishedUpload(receipt=receipt.text, size_bytes=blob.size_bytes)


async def cancel_upload(ports: UploadPorts, ticket: UploadTicket, repository: str) -> None:
    """End an upload and forget its bytes.

    Raises:
        DomainError: BLOB_UPLOAD_UNKNOWN; UPLOAD_CONFLICT, another one is still writing.
    """
    await ports.uploads.cancel(_upload_of(ticket, repository))


async def expire_uploads(admin: BlobAdmin, lifetimes: UploadLifetimes, now: datetime) -> int:
    """End the sessions that have lived too long, and give their number.

    Raises:
        DomainError: UNAVAILABLE.
    """
    return await admin.expire_uploads(
        started_before=now - timedelta(seconds=lifetimes.total_seconds),
        idle_since=now - timedelta(seconds=lifetimes.idle_seconds),
        finished_before=now - timedelta(seconds=lifetimes.receipt_seconds),
    )


def _upload_of(ticket: UploadTicket, repository: str) -> UploadId:
    # Distribution, too, treats a session under another repository as one that does not exist.
    if repository and repository != ticket.repository:
        raise NotFound("BLOB_UPLOAD_UNKNOWN")
    try:
        return UploadId(ticket.upload_id)
    except ValueError:
        raise NotFound("BLOB_UPLOAD_UNKNOWN") from None
