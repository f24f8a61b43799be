"""The table holds what PROTOCOL and Harbor promise. What is expected here is written down by hand."""

import subprocess
import sys

import grpc
import pytest

from svckit.errors import REASONS

EXPECTED = [
    # reason, HTTP status, gRPC code, Harbor's code, code under /v2
    ("BLOB_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "BLOB_UNKNOWN"),
    ("BLOB_UPLOAD_INVALID", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "BLOB_UPLOAD_INVALID"),
    ("BLOB_UPLOAD_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "BLOB_UPLOAD_UNKNOWN"),
    ("DIGEST_INVALID", 400, "INVALID_ARGUMENT", "DIGEST_INVALID", "DIGEST_INVALID"),
    ("MANIFEST_BLOB_UNKNOWN", 400, "FAILED_PRECONDITION", "BAD_REQUEST", "MANIFEST_BLOB_UNKNOWN"),
    ("MANIFEST_INVALID", 400, "INVALID_ARGUMENT", "MANIFEST_INVALID", "MANIFEST_INVALID"),
    ("MANIFEST_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "MANIFEST_UNKNOWN"),
    ("NAME_INVALID", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "NAME_INVALID"),
    ("NAME_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("TAG_INVALID", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "TAG_INVALID"),
    ("SIZE_INVALID", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "SIZE_INVALID"),
    ("UNAUTHORIZED", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    ("INSUFFICIENT_SCOPE", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    ("DENIED", 403, "PERMISSION_DENIED", "DENIED", "DENIED"),
    ("FORBIDDEN", 403, "PERMISSION_DENIED", "FORBIDDEN", "DENIED"),
    ("NOT_FOUND", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("PROJECT_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("USER_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("MEMBER_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("ROBOT_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("IMMUTABLE_RULE_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("LABEL_UNKNOWN", 404, "NOT_FOUND", "NOT_FOUND", "NAME_UNKNOWN"),
    ("CONFLICT", 409, "ALREADY_EXISTS", "CONFLICT", "CONFLICT"),
    ("UPLOAD_CONFLICT", 409, "ABORTED", "CONFLICT", "BLOB_UPLOAD_INVALID"),
    ("PRECONDITION", 412, "FAILED_PRECONDITION", "PRECONDITION", "PRECONDITION"),
    ("TAG_IMMUTABLE", 412, "FAILED_PRECONDITION", "PRECONDITION", "PRECONDITION"),
    ("PROJECT_NOT_EMPTY", 412, "FAILED_PRECONDITION", "PRECONDITION", "PRECONDITION"),
    ("QUOTA_EXCEEDED", 403, "RESOURCE_EXHAUSTED", "DENIED", "DENIED"),
    ("UNSUPPORTED", 405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", "UNSUPPORTED"),
    ("EPOCH_MISMATCH", 410, "OUT_OF_RANGE", "BAD_REQUEST", "UNSUPPORTED"),
    ("REVISION_COMPACTED", 410, "OUT_OF_RANGE", "BAD_REQUEST", "UNSUPPORTED"),
    ("RANGE_INVALID", 416, "OUT_OF_RANGE", "BAD_REQUEST", "RANGE_INVALID"),
    ("TOOMANYREQUESTS", 429, "RESOURCE_EXHAUSTED", "TOO_MANY_REQUEST", "TOOMANYREQUESTS"),
    ("MANIFEST_TOO_LARGE", 413, "INVALID_ARGUMENT", "BAD_REQUEST", "MANIFEST_INVALID"),
    ("BAD_REQUEST", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"),
    ("BODY_MISSING", 422, "INVALID_ARGUMENT", "UNPROCESSABLE_ENTITY", "UNSUPPORTED"),
    ("INVALID_PAGE_TOKEN", 400, "INVALID_ARGUMENT", "BAD_REQUEST", "UNSUPPORTED"),
    ("UNAVAILABLE", 503, "UNAVAILABLE", "UNKNOWN", "UNAVAILABLE"),
    ("GOING_AWAY", 503, "UNAVAILABLE", "UNKNOWN", "UNAVAILABLE"),
    ("OVERLOADED", 503, "RESOURCE_EXHAUSTED", "UNKNOWN", "UNAVAILABLE"),
    ("INTERNAL", 500, "INTERNAL", "UNKNOWN", "UNKNOWN"),
    ("TICKET_INVALID", 404, "UNAUTHENTICATED", "NOT_FOUND", "BLOB_UPLOAD_UNKNOWN"),
    ("RECEIPT_INVALID", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
    ("GRANT_INVALID", 401, "UNAUTHENTICATED", "UNAUTHORIZED", "UNAUTHORIZED"),
]


@pytest.mark.parametrize(("name", "http_status", "grpc_code", "rest_code", "oci_code"), EXPECTED)
def test_a_reason_is_said_as_each_protocol_expects(
    name: str, http_status: int, grpc_code: str, rest_code: str, oci_code: str
) -> None:
    reason = REASONS[name]
    assert (reason.http_status, reason.grpc_code, reason.rest_code, reason.oci_code) == (
        http_status,
        grpc_code,
        rest_code,
        oci_code,
    )


def test_every_grpc_code_of_the_table_exists() -> None:
    assert {reason.grpc_code for reason in REASONS.values()} <= {code.name for code in grpc.StatusCode}


def test_what_answers_429_or_503_or_507_says_when_to_come_back() -> None:
    waiting = {reason.name for reason in REASONS.values() if reason.http_status in (429, 503, 507)}
    assert waiting == {reason.name for reason in REASONS.values() if reason.retry_after_seconds is not None}


def test_a_full_quota_is_not_worth_a_retry() -> None:
    assert REASONS["QUOTA_EXCEEDED"].retry_after_seconds is None


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        REASONS["NEW"] = REASONS["INTERNAL"]  # type: ignore[index]


def test_domain_code_that_raises_errors_and_names_claims_loads_neither_grpc_nor_sql() -> None:
    program = (
        "import sys, svckit.errors, svckit.tokens, svckit.tokens.claims, svckit.paging\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('grpc', 'sqlalchemy') or m.startswith('google.')]\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
