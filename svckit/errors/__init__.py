"""Errors for callers: a reason from one table, raised as a `DomainError`.

Domain code raises these. `svckit.errors.status` turns them into `google.rpc.Status` and back. It is not imported here,
so that domain code does not depend on gRPC.
"""

from svckit.errors.error import (
    Conflict,
    Denied,
    DomainError,
    FieldViolation,
    Invalid,
    NotFound,
    Precondition,
    Unauthenticated,
    Unavailable,
    error_for,
    from_oci_error,
)
from svckit.errors.reasons import REASONS, Reason

__all__ = [
    "REASONS",
    "Conflict",
    "Denied",
    "DomainError",
    "FieldViolation",
    "Invalid",
    "NotFound",
    "Precondition",
    "Reason",
    "Unauthenticated",
    "Unavailable",
    "error_for",
    "from_oci_error",
]
