"""Between the contract's messages and the domain's types."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from google.protobuf.timestamp_pb2 import Timestamp

from blobsvc.domain.blob import MAXIMUM_PAGE_SIZE
from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey, BlobPage, StoredBlob
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
from roadstead.blob.v1 import placement_pb2
from roadstead.blob.v1.blob_pb2 import Blob
from roadstead.blob.v1.blob_service_pb2 import (
    DeleteBlobRequest,
    ListBlobsRequest,
    ListBlobsResponse,
    LocateBlobRequest,
    LocateBlobResponse,
)
from roadstead.blob.v1.upload_pb2 import Upload
from roadstead.blob.v1.upload_service_pb2 import FinishUploadResponse, StartUploadResponse
from svckit.errors import FieldViolation, Invalid, from_oci_error
from svckit.oci.digest import ALGORITHMS, SHA256, Digest
from svckit.oci.errors import DigestInvalidError, NameInvalidError
from svckit.oci.repository import RepositoryName
from svckit.paging import PageToken, clamp_page_size, query_fingerprint

_PLACEMENT_KINDS: Mapping[int, PlacementKind] = MappingProxyType(
    {
        placement_pb2.PLACEMENT_KIND_STREAM: PlacementKind.STREAM,
        placement_pb2.PLACEMENT_KIND_FILE: PlacementKind.FILE,
        placement_pb2.PLACEMENT_KIND_URL: PlacementKind.URL,
    }
)


def digest(text: str) -> Digest:
    """Parse a digest.

    Raises:
        DomainError: DIGEST_INVALID.
    """
    try:
        return Digest.parse(text)
    except DigestInvalidError as error:
        raise from_oci_error(error) from error


def algorithm(text: str) -> str:
    """The algorithm that an upload will be hashed by: sha256 unless said.

    Raises:
        DomainError: DIGEST_INVALID, it is not served.
    """
    name = text or SHA256
    if name not in ALGORITHMS:
        raise Invalid("DIGEST_INVALID", f"digest_algorithm is one of {', '.join(ALGORITHMS)}")
    return name


def repository(text: str) -> RepositoryName:
    """Parse the full name of a repository.

    Raises:
        DomainError: NAME_INVALID.
    """
    try:
        return RepositoryName.parse(text)
    except NameInvalidError as error:
        raise from_oci_error(error) from error


def blob_key(request: DeleteBlobRequest) -> BlobKey:
    """What a delete names.

    Raises:
        DomainError: DIGEST_INVALID; BAD_REQUEST, the generation is none.
    """
    return BlobKey(digest(request.digest), _generation(request.generation))


def blob(stored: StoredBlob) -> Blob:
    """A blob."""
    return Blob(
        digest=str(stored.digest),
        generation=stored.generation.number,
        size_bytes=stored.size_bytes,
        create_time=_timestamp(stored.create_time),
    )


def started(upload: StartedUpload) -> StartUploadResponse:
    """The answer to a start."""
    return StartUploadResponse(
        upload=Upload(id=str(upload.upload.id), committed_size_bytes=0, ticket=upload.ticket),
        placements=[_write_placement(placement) for placement in upload.placements],
        expire_time=_timestamp(upload.expire_time),
    )


def finished(upload: FinishedUpload) -> FinishUploadResponse:
    """The answer to a finish."""
    return FinishUploadResponse(receipt=upload.receipt, size_bytes=upload.size_bytes)


def placement_kinds(request: LocateBlobRequest) -> frozenset[PlacementKind] | None:
    """The kinds of placement that a caller can use; None for all."""
    if not request.kinds:
        return None
    return frozenset(_PLACEMENT_KINDS[kind] for kind in request.kinds if kind in _PLACEMENT_KINDS)


def located(blob: LocatedBlob) -> LocateBlobResponse:
    """The answer to where a blob is."""
    return LocateBlobResponse(
        placements=[_read_placement(placement) for placement in blob.placements], size_bytes=blob.blob.size_bytes
    )


def finished_before(request: ListBlobsRequest) -> datetime | None:
    """The filter of a list; None for none.

    Raises:
        DomainError: BAD_REQUEST, it is no time.
    """
    if not request.HasField("finished_before"):
        return None
    try:
        return request.finished_before.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise _bad_field("finished_before", "is no time between the years 1 and 9999") from None


def page_size(request: ListBlobsRequest) -> int:
    """How many blobs to list.

    Raises:
        DomainError: BAD_REQUEST, it is negative.
    """
    return clamp_page_size(request.page_size, MAXIMUM_PAGE_SIZE, MAXIMUM_PAGE_SIZE)


def page_start(request: ListBlobsRequest) -> BlobKey | None:
    """Where a list goes on; None for its beginning.

    Raises:
        DomainError: INVALID_PAGE_TOKEN.
    """
    if not request.page_token:
        return None
    token = PageToken.decode(request.page_token, _fingerprint(request), (str, int))
    text, number = token.values
    try:
        if isinstance(text, str) and isinstance(number, int):
            return BlobKey.of(text, number)
    except ValueError:
        pass
    raise Invalid("INVALID_PAGE_TOKEN")


def page(found: BlobPage, request: ListBlobsRequest) -> ListBlobsResponse:
    """The answer to a list."""
    response = ListBlobsResponse(blobs=[blob(stored) for stored in found.blobs])
    if found.next_after is not None:
        values = (str(found.next_after.digest), found.next_after.generation.number)
        response.next_page_token = PageToken(values).encode(_fingerprint(request))
    return response


def _read_placement(placement: ReadPlacement) -> placement_pb2.ReadPlacement:
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
                    expire_time=_timestamp(expire_time),
                    headers=_headers(headers),
                    accepts_ranges=accepts_ranges,
                )
            )


def _write_placement(placement: WritePlacement) -> placement_pb2.WritePlacement:
    message = placement_pb2.WritePlacement
    match placement:
        case StreamPlacement():
            return message(stream=message.Stream())
        case WriteFilePlacement(path, store_id, inode, committed_size_bytes):
            return message(
                file=message.File(
                    path=path,
                    store_id=store_id,
                    inode=inode,
                    committed_size_bytes=committed_size_bytes,
                    lock=message.LOCK_FLOCK,
                )
            )
        case WriteUrlPlacement(parts, minimum_bytes, maximum_bytes, expire_time):
            return message(
                url=message.Url(
                    parts=[
                        message.Part(number=part.number, url=part.url, headers=_headers(part.headers)) for part in parts
                    ],
                    minimum_part_size_bytes=minimum_bytes,
                    maximum_part_size_bytes=maximum_bytes,
                    expire_time=_timestamp(expire_time),
                )
            )


def _headers(headers: Iterable[HttpHeader]) -> list[placement_pb2.PlacementHeader]:
    return [placement_pb2.PlacementHeader(name=header.name, value=header.value) for header in headers]


def _generation(number: int) -> Generation:
    try:
        return Generation(number)
    except ValueError:
        raise _bad_field("generation", "is no generation") from None


def _fingerprint(request: ListBlobsRequest) -> str:
    limit = request.finished_before.ToNanoseconds() if request.HasField("finished_before") else None
    return query_fingerprint("blobs", limit)


def _timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _bad_field(field: str, description: str) -> Invalid:
    return Invalid(message=f"{field} {description}", violations=[FieldViolation(field, description)])
