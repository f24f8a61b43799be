"""Converts between the messages of `blob.v1` and the domain."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from blobsvc.domain import model
from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey, StoredBlob
from blobsvc.domain.placement import (
    HttpHeader,
    PlacementKind,
    ReadFilePlacement,
    ReadPlacement,
    ReadUrlPlacement,
    StreamPlacement,
    WriteFilePlacement,
    WritePlacement,
    WriteUrlPlacement,
)
from blobsvc.domain.ports import LocatedBlob
from blobsvc.domain.upload import FinishedUpload, StartedUpload
from blobsvc.domain.upload_file import FileAllowance, FileProgress
from roadstead.blob.v1 import placement_pb2
from roadstead.blob.v1.blob_pb2 import Blob, BlobGeneration, UnlinkedBlob
from roadstead.blob.v1.blob_service_pb2 import (
    BlobStat,
    DeleteBlobRequest,
    ListBlobsRequest,
    ListBlobsResponse,
    ListUnlinkedRequest,
    ListUnlinkedResponse,
    LocateBlobRequest,
    LocateBlobResponse,
    StatBlobsResponse,
)
from roadstead.blob.v1.upload_pb2 import Upload
from roadstead.blob.v1.upload_service_pb2 import (
    ExpiredUpload,
    FinishUploadResponse,
    PurgeUploadsResponse,
    StartUploadResponse,
    WriteUploadFileRequest,
    WriteUploadFileResponse,
)
from svckit.convert import from_time, to_digest, to_time
from svckit.errors import FieldViolation, Invalid
from svckit.listing import Page
from svckit.oci.digest import ALGORITHMS, SHA256

_PLACEMENT_KINDS: Mapping[int, PlacementKind] = MappingProxyType(
    {
        placement_pb2.PLACEMENT_KIND_STREAM: PlacementKind.STREAM,
        placement_pb2.PLACEMENT_KIND_FILE: PlacementKind.FILE,
        placement_pb2.PLACEMENT_KIND_URL: PlacementKind.URL,
    }
)


def to_algorithm(text: str) -> str:
    """Reads the hash algorithm of an upload; sha256 if the request names none.

    Raises:
        DomainError: DIGEST_INVALID, the algorithm is not supported.
    """
    name = text or SHA256
    if name not in ALGORITHMS:
        raise Invalid("DIGEST_INVALID", f"digest_algorithm must be one of {', '.join(ALGORITHMS)}")
    return name


def to_blob_key(named: DeleteBlobRequest | BlobGeneration) -> BlobKey:
    """Reads the key of a blob.

    Raises:
        DomainError: DIGEST_INVALID.
    """
    return BlobKey(to_digest(named.digest), Generation(named.generation))


def from_sizes(sizes: Iterable[int | None], store_id: str) -> StatBlobsResponse:
    """Writes the response of StatBlobs."""
    stats = [BlobStat(exists=size is not None, size_bytes=size or 0) for size in sizes]
    return StatBlobsResponse(stats=stats, store_id=store_id)


def from_blob(stored: StoredBlob) -> Blob:
    """Writes a blob."""
    return Blob(
        digest=str(stored.digest),
        generation=stored.generation.number,
        size_bytes=stored.size_bytes,
        create_time=from_time(stored.create_time),
    )


def from_started(upload: StartedUpload) -> StartUploadResponse:
    """Writes the response of StartUpload."""
    return StartUploadResponse(
        upload=Upload(id=str(upload.upload.id), committed_size_bytes=0, ticket=upload.ticket),
        placements=[_from_write_placement(placement) for placement in upload.placements],
        expire_time=from_time(upload.expire_time),
    )


def from_finished(upload: FinishedUpload) -> FinishUploadResponse:
    """Writes the response of FinishUpload."""
    return FinishUploadResponse(receipt=upload.receipt, size_bytes=upload.size_bytes)


def to_upload_position(page_token: str) -> model.UploadId | None:
    """Reads the upload after which a page of expired uploads begins; None for the first page.

    Raises:
        DomainError: INVALID_PAGE_TOKEN.
    """
    try:
        return model.UploadId(page_token) if page_token else None
    except ValueError:
        violation = FieldViolation("page_token", "was not given for this query")
        raise Invalid("INVALID_PAGE_TOKEN", violations=[violation]) from None


def from_expired_page(page: model.ExpiredPage) -> PurgeUploadsResponse:
    """Writes the response of PurgeUploads."""
    return PurgeUploadsResponse(
        uploads=[_from_expired(upload) for upload in page.uploads],
        next_page_token="" if page.next_after is None else str(page.next_after),
    )


def _from_expired(upload: model.ExpiredUpload) -> ExpiredUpload:
    owner = upload.owner
    return ExpiredUpload(
        upload_id=str(upload.id),
        repository="" if owner is None else owner.repository,
        project_id=0 if owner is None else owner.project_id,
        subject="" if owner is None else owner.subject,
        size_bytes=upload.size_bytes,
        start_time=None if upload.start_time is None else from_time(upload.start_time),
        write_time=from_time(upload.write_time),
    )


def to_file_progress(progress: WriteUploadFileRequest.Progress) -> FileProgress:
    """Reads how far a writer has come."""
    return FileProgress(progress.size_bytes, progress.wanted_size_bytes)


def from_file_allowance(allowance: FileAllowance) -> WriteUploadFileResponse:
    """Writes one response of WriteUploadFile."""
    return WriteUploadFileResponse(
        file=None if allowance.file is None else _from_write_file(allowance.file),
        allowed_size_bytes=allowance.allowed_size_bytes,
        committed_size_bytes=allowance.committed_size_bytes,
    )


def to_placement_kinds(request: LocateBlobRequest) -> frozenset[PlacementKind] | None:
    """Reads the kinds of placement that a caller can use; None for all."""
    if not request.kinds:
        return None
    return frozenset(_PLACEMENT_KINDS[kind] for kind in request.kinds if kind in _PLACEMENT_KINDS)


def from_located(blob: LocatedBlob) -> LocateBlobResponse:
    """Writes the response of LocateBlob."""
    return LocateBlobResponse(
        placements=[_from_read_placement(placement) for placement in blob.placements], size_bytes=blob.blob.size_bytes
    )


def to_finished_before(request: ListBlobsRequest | ListUnlinkedRequest) -> datetime | None:
    """Reads the time filter of a list; None if absent.

    Raises:
        DomainError: BAD_REQUEST, it is not a valid time.
    """
    if not request.HasField("finished_before"):
        return None
    return to_time(request.finished_before, "finished_before")


def from_page(page: Page[StoredBlob]) -> ListBlobsResponse:
    """Writes the response of ListBlobs."""
    return ListBlobsResponse(blobs=[from_blob(blob) for blob in page.items], next_page_token=page.next_page_token)


def from_unlinked_page(page: Page[model.UnlinkedBlob]) -> ListUnlinkedResponse:
    """Writes the response of ListUnlinked."""
    return ListUnlinkedResponse(
        blobs=[
            UnlinkedBlob(
                blob=from_blob(unlinked.blob),
                repository=unlinked.owner.repository,
                project_id=unlinked.owner.project_id,
                subject=unlinked.owner.subject,
            )
            for unlinked in page.items
        ],
        next_page_token=page.next_page_token,
    )


def _from_read_placement(placement: ReadPlacement) -> placement_pb2.ReadPlacement:
    message = placement_pb2.ReadPlacement
    match placement:
        case StreamPlacement():
            return message(stream=message.Stream())
        case ReadFilePlacement(path, store_id, inode, size_bytes):
            return message(file=message.File(path=path, store_id=store_id, inode=inode, size_bytes=size_bytes))
        case ReadUrlPlacement(url, expire_time, headers, accepts_ranges):
            return message(
                url=message.Url(
                    url=url,
                    expire_time=from_time(expire_time),
                    headers=_from_headers(headers),
                    accepts_ranges=accepts_ranges,
                )
            )


def _from_write_placement(placement: WritePlacement) -> placement_pb2.WritePlacement:
    message = placement_pb2.WritePlacement
    match placement:
        case StreamPlacement():
            return message(stream=message.Stream())
        case WriteFilePlacement():
            return message(file=_from_write_file(placement))
        case WriteUrlPlacement(parts, minimum_bytes, maximum_bytes, expire_time):
            return message(
                url=message.Url(
                    parts=[
                        message.Part(number=part.number, url=part.url, headers=_from_headers(part.headers))
                        for part in parts
                    ],
                    minimum_part_size_bytes=minimum_bytes,
                    maximum_part_size_bytes=maximum_bytes,
                    expire_time=from_time(expire_time),
                )
            )


def _from_write_file(placement: WriteFilePlacement) -> placement_pb2.WritePlacement.File:
    return placement_pb2.WritePlacement.File(
        path=placement.path,
        store_id=placement.store_id,
        inode=placement.inode,
        committed_size_bytes=placement.committed_size_bytes,
        lock=placement_pb2.WritePlacement.LOCK_FLOCK,
    )


def _from_headers(headers: Iterable[HttpHeader]) -> list[placement_pb2.PlacementHeader]:
    return [placement_pb2.PlacementHeader(name=header.name, value=header.value) for header in headers]
