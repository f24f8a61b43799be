"""The table of public errors: one record for each reason that a caller may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Reason:
    """One public error, with its form in each protocol.

    Attributes:
        name: the key in `REASONS`. gRPC callers match on it (`ErrorInfo.reason`).
        text: the default text for callers.
        http_status: the status under /v2 and /api/v2.0.
        grpc_code: the name of the `grpc.StatusCode`. A name, so that this table needs no grpc.
        rest_code: Harbor's code under /api/v2.0.
        oci_code: the code under /v2 (distribution-spec, "Error Codes"; the spec allows others of the same form).
        retry_after_seconds: how long to wait before the same request may succeed; None if a retry cannot help.
        hides_message: whether the caller always sees `text` instead of the error's own message.
    """

    name: str
    text: str
    http_status: int
    grpc_code: str
    rest_code: str
    oci_code: str
    retry_after_seconds: float | None = None
    hides_message: bool = False


# If the spec allows several statuses under /v2, the table of the program "distribution" decides: for example, it has
# 400 for MANIFEST_BLOB_UNKNOWN.
_TABLE = (
    # The codes of the distribution spec.
    Reason("BLOB_UNKNOWN", "blob unknown to registry", 404, "NOT_FOUND", "NOT_FOUND", "BLOB_UNKNOWN"),
    # The file of a blob is missing, or has another size or another digest. metadata["finding"] is for
    # metasvc.QuarantineBlob. To clients it is an unknown blob: a push of the same bytes repairs it.
    Reason("BLOB_DAMAGED", "blob unknown to registry", 404, "DATA_LOSS", "NOT_FOUND", "BLOB_UNKNOWN"),
    Reason("BLOB_UPLOAD_INVALID", "blob upload invalid", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "BLOB_UPLOAD_INVALID"),
    Reason(
        "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", 404, "NOT_FOUND", "NOT_FOUND", "BLOB_UPLOAD_UNKNOWN"
    ),
    Reason(
        "DIGEST_INVALID",
        "provided digest did not match uploaded content",
        400,
        "INVALID_ARGUMENT",
        "DIGEST_INVALID",
        "DIGEST_INVALID",
    ),
    Reason(
        "MANIFEST_BLOB_UNKNOWN",
        "manifest references a manifest or blob unknown to registry",
        400,
        "FAILED_PRECONDITION",
        "BAD_REQUEST",
        "MANIFEST_BLOB_UNKNOWN",
    ),
    Reason("MANIFEST_INVALID", "manifest invalid", 400, "INVALID_ARGUMENT", "MANIFEST_INVALID", "MANIFEST_INVALID"),
    Reason("MANIFEST_UNKNOWN", "manifest unknown to registry", 404, "NOT_FOUND", "NOT_FOUND", "MANIFEST_UNKNOWN"),
    Reason("NAME_INVALID", "invalid repository name", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "NAME_INVALID"),
    Reason("NAME_UNKNOWN", "repository name not known to registry", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("TAG_INVALID", "invalid tag", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "TAG_INVALID"),
    Reason(
        "SIZE_INVALID",
        "provided length did not match content length",
        400,
        "INVALID_ARGUMENT",
        "BAD_REQUEST",
        "SIZE_INVALID",
    ),
    Reason("UNAUTHORIZED", "authentication required", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    Reason("DENIED", "requested access to the resource is denied", 403, "PERMISSION_DENIED", "DENIED", "DENIED"),
    Reason("UNSUPPORTED", "the operation is unsupported", 405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", "UNSUPPORTED"),
    Reason(
        "TOOMANYREQUESTS",
        "too many requests",
        429,
        "RESOURCE_EXHAUSTED",
        "TOO_MANY_REQUEST",
        "TOOMANYREQUESTS",
        retry_after_seconds=1,
    ),
    # A valid registry token lacks the right. UNAUTHENTICATED and 401, because another token may help: a 401 makes
    # docker, containerd and crane ask for one. metadata["scope"] says which scope is needed.
    Reason(
        "INSUFFICIENT_SCOPE",
        "the token does not grant access to this resource",
        401,
        "UNAUTHENTICATED",
        "UNAUTHORIZED",
        "UNAUTHORIZED",
    ),
    # zot's answer to the deletion of a blob that a manifest names.
    Reason("BLOB_IN_USE", "a manifest names the blob", 405, "FAILED_PRECONDITION", "PRECONDITION", "DENIED"),
    # The caller may know that the object exists, but is not allowed to do this.
    Reason("FORBIDDEN", "forbidden", 403, "PERMISSION_DENIED", "FORBIDDEN", "DENIED"),
    # The object does not exist, or the caller must not know that it exists.
    Reason("NOT_FOUND", "not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("PROJECT_UNKNOWN", "project not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("USER_UNKNOWN", "user not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("USER_GROUP_UNKNOWN", "user group not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("MEMBER_UNKNOWN", "project member not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("ROBOT_UNKNOWN", "robot not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("IMMUTABLE_RULE_UNKNOWN", "immutable rule not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    Reason("LABEL_UNKNOWN", "label not found", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    # The current state does not allow the request.
    Reason("CONFLICT", "conflict", 409, "ALREADY_EXISTS", "CONFLICT", "CONFLICT"),
    # Two writers wrote at the same time. The one that is refused asks for the status of the upload and continues.
    Reason(
        "UPLOAD_CONFLICT", "the upload is being written by another", 409, "ABORTED", "CONFLICT", "BLOB_UPLOAD_INVALID"
    ),
    Reason("PRECONDITION", "precondition failed", 412, "FAILED_PRECONDITION", "PRECONDITION", "PRECONDITION"),
    # A rule of the project forbids to move and to delete a tag: metadata["tag"], metadata["immutable_rule_id"]. The
    # codes are Harbor's.
    Reason("TAG_IMMUTABLE", "the tag is immutable", 412, "FAILED_PRECONDITION", "PRECONDITION", "PRECONDITION"),
    Reason("PROJECT_NOT_EMPTY", "the project is not empty", 412, "FAILED_PRECONDITION", "PRECONDITION", "PRECONDITION"),
    Reason(
        "VIOLATE_FOREIGN_KEY_CONSTRAINT",
        "the resource is still referred to",
        412,
        "FAILED_PRECONDITION",
        "VIOLATE_FOREIGN_KEY_CONSTRAINT",
        "PRECONDITION",
    ),
    Reason(
        "PROJECTPOLICYVIOLATION",
        "the project's policy forbids this",
        412,
        "FAILED_PRECONDITION",
        "PROJECTPOLICYVIOLATION",
        "PROJECTPOLICYVIOLATION",
    ),
    # The status has a QuotaFailure and never a RetryInfo: waiting does not help. The HTTP status is 403, because docker
    # retries after 5xx and 429.
    Reason("QUOTA_EXCEEDED", "quota exceeded", 403, "RESOURCE_EXHAUSTED", "DENIED", "DENIED"),
    # 403 like a quota: clients repeat 5xx at once, which does not make room.
    Reason(
        "UPLOADS_EXCEEDED",
        "unfinished uploads hold too many bytes",
        403,
        "RESOURCE_EXHAUSTED",
        "DENIED",
        "DENIED",
    ),
    # 507 rather than 503: docker shows only the status line to its user, and clients such as crane repeat a 503 at
    # once, which does not free disk space (docs/decisions/0016).
    Reason(
        "STORAGE_FULL",
        "the registry's disk is full",
        507,
        "RESOURCE_EXHAUSTED",
        "INSUFFICIENT_STORAGE",
        "STORAGE_FULL",
        retry_after_seconds=60,
    ),
    # Harbor's text and code.
    Reason(
        "READ_ONLY",
        "The system is in read only mode. Any modification is prohibited.",
        403,
        "FAILED_PRECONDITION",
        "DENIED",
        "DENIED",
    ),
    # The request itself is wrong.
    Reason("BAD_REQUEST", "bad request", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"),
    # Harbor's status and code for an operation that is called without its body.
    Reason("BODY_MISSING", "the request needs a body", 422, "INVALID_ARGUMENT", "UNPROCESSABLE_ENTITY", "UNSUPPORTED"),
    Reason("INVALID_PAGE_TOKEN", "invalid page token", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"),
    # The change log was restored from a backup. The reader must read everything again; metadata["epoch"] is the current
    # epoch.
    Reason("EPOCH_MISMATCH", "the change log was restored since", 410, "OUT_OF_RANGE", "BAD_REQUEST", "UNSUPPORTED"),
    # metadata["oldest_revision"]: the changes after this revision are kept.
    Reason(
        "REVISION_COMPACTED",
        "the changes after this revision are not kept any more",
        410,
        "OUT_OF_RANGE",
        "BAD_REQUEST",
        "UNSUPPORTED",
    ),
    # metadata["newest_revision"]. A position of another log, or of one that was restored without a new epoch.
    Reason(
        "REVISION_AHEAD",
        "the change log has no such revision yet",
        400,
        "OUT_OF_RANGE",
        "BAD_REQUEST",
        "UNSUPPORTED",
    ),
    # metadata["committed_size"] is the number of bytes that the upload has so far.
    Reason("RANGE_INVALID", "invalid content range", 416, "OUT_OF_RANGE", "BAD_REQUEST", "RANGE_INVALID"),
    Reason("REQUEST_TIMEOUT", "the request body stalled", 408, "ABORTED", "BAD_REQUEST", "BLOB_UPLOAD_INVALID"),
    Reason("MANIFEST_TOO_LARGE", "manifest too large", 413, "INVALID_ARGUMENT", "BAD_REQUEST", "MANIFEST_INVALID"),
    Reason("REQUEST_TOO_LARGE", "request too large", 413, "INVALID_ARGUMENT", "BAD_REQUEST", "SIZE_INVALID"),
    Reason("URI_TOO_LONG", "URI too long", 414, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"),
    Reason("UNSUPPORTED_MEDIA_TYPE", "unsupported media type", 415, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"),
    Reason(
        "HEADERS_TOO_LARGE", "request header fields too large", 431, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"
    ),
    # Documents that services give each other. An HTTP client gets 404 for an upload with an expired ticket, so that it
    # begins a new upload. With a 401, it would fetch new tokens again and again.
    Reason("TICKET_INVALID", "invalid upload ticket", 404, "UNAUTHENTICATED", "NOT_FOUND", "BLOB_UPLOAD_UNKNOWN"),
    Reason("RECEIPT_INVALID", "invalid receipt", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    Reason("GRANT_INVALID", "invalid grant", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    Reason("FINDING_INVALID", "invalid finding", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    # Errors of the service itself.
    Reason(
        "UNAVAILABLE",
        "service unavailable",
        503,
        "UNAVAILABLE",
        "UNKNOWN",
        "UNAVAILABLE",
        retry_after_seconds=1,
    ),
    # The end of a long stream when its server stops.
    Reason(
        "GOING_AWAY",
        "the server is stopping; go on from the last answer at another one",
        503,
        "UNAVAILABLE",
        "UNKNOWN",
        "UNAVAILABLE",
        retry_after_seconds=1,
    ),
    Reason(
        "OVERLOADED",
        "too many requests in flight",
        503,
        "RESOURCE_EXHAUSTED",
        "UNKNOWN",
        "UNAVAILABLE",
        retry_after_seconds=1,
    ),
    Reason("INTERNAL", "internal error", 500, "INTERNAL", "UNKNOWN", "UNKNOWN", hides_message=True),
)

REASONS: Mapping[str, Reason] = MappingProxyType({reason.name: reason for reason in _TABLE})
"""Every reason by its name."""
