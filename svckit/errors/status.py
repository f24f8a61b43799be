"""Turns domain errors into `google.rpc.Status`, and back. The only module of this package that uses gRPC.

A status always has one `ErrorInfo` (reason and metadata; domain "<service>.roadstead"). It has `RetryInfo` if a retry
can help, `BadRequest` or `PreconditionFailure` if fields are named, and `QuotaFailure` for a quota.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from svckit.errors.error import DomainError, FieldViolation, error_for
from svckit.errors.reasons import REASONS

DETAILS_KEY = "grpc-status-details-bin"
"""The trailer that carries the status (gRPC's own convention)."""

DOMAIN_SUFFIX = ".roadstead"

# A client refuses a response whose headers and trailers together exceed 8 KiB, and then sees neither code nor reason.
# The message is sent twice, and the details as base64. With the limits below, the total stays under 8 KiB.
_MAXIMUM_MESSAGE_CHARACTERS = 512
# A finding (`svckit.tokens`) has 800 at most.
_MAXIMUM_METADATA_CHARACTERS = 1024
_MAXIMUM_VALUE_CHARACTERS = 512
_MAXIMUM_STATUS_BYTES = 3 * 1024

_CODE_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}

# The reasons for a status without an ErrorInfo of Roadstead: gRPC itself or a proxy made it. If a call timed out or was
# cancelled on its way, the request may be fine, so the caller may try again.
_REASON_OF_BARE_CODE = {
    grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "UNAVAILABLE",
    grpc.StatusCode.CANCELLED: "UNAVAILABLE",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
    grpc.StatusCode.UNAUTHENTICATED: "UNAUTHORIZED",
    grpc.StatusCode.PERMISSION_DENIED: "FORBIDDEN",
    grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
    grpc.StatusCode.ALREADY_EXISTS: "CONFLICT",
    grpc.StatusCode.ABORTED: "CONFLICT",
    grpc.StatusCode.FAILED_PRECONDITION: "PRECONDITION",
    grpc.StatusCode.INVALID_ARGUMENT: "BAD_REQUEST",
    grpc.StatusCode.OUT_OF_RANGE: "RANGE_INVALID",
    grpc.StatusCode.UNIMPLEMENTED: "UNSUPPORTED",
}


def grpc_code(error: DomainError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return grpc.StatusCode[error.entry.grpc_code]


def to_status(error: DomainError, service: str) -> status_pb2.Status:
    """The error as a status. It has a few KiB at most, so long lists of violations are cut.

    Args:
        error: the error of the domain.
        service: the service that raised it; "metasvc" gives the domain "metasvc.roadstead".
    """
    number: int = grpc_code(error).value[0]
    status = status_pb2.Status(code=number, message=_clipped(error.public_message, _MAXIMUM_MESSAGE_CHARACTERS))
    metadata = {} if error.entry.hides_message else error.metadata
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=service + DOMAIN_SUFFIX)
    for key, value in metadata.items():
        info.metadata[key] = _clipped(value, _MAXIMUM_METADATA_CHARACTERS)
        if info.ByteSize() > _MAXIMUM_STATUS_BYTES // 2:
            del info.metadata[key]
            break
    _add(status, info)
    if error.retry_after_seconds is not None:
        _add(status, error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after_seconds)))
    if error.reason == "QUOTA_EXCEEDED":
        _add(status, error_details_pb2.QuotaFailure(violations=[{"description": status.message}]))
    if error.violations and not error.entry.hides_message:
        _add(status, _violations(error, _MAXIMUM_STATUS_BYTES - status.ByteSize()))
    return status


def from_status(status: status_pb2.Status) -> DomainError:
    """The error for a status: by the reason in its ErrorInfo, or by its code if there is none.

    The text is used only with an ErrorInfo of Roadstead: gRPC's own texts contain names of sockets and hosts.
    """
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _find(status, error_details_pb2.ErrorInfo())
    if info is None or not info.domain.endswith(DOMAIN_SUFFIX):
        return _bare(code)
    # A newer service may send a reason that this program does not know. Then the code decides.
    known = info.reason in REASONS
    reason = info.reason if known else _REASON_OF_BARE_CODE.get(code, "INTERNAL")
    retry = _find(status, error_details_pb2.RetryInfo())
    return error_for(
        reason,
        status.message,
        metadata=dict(info.metadata),
        retry_after_seconds=None if retry is None else retry.retry_delay.ToTimedelta().total_seconds(),
        violations=tuple(_named_violations(status)),
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> DomainError:
    """The domain error for a failed call. The caller raises it `from` the RPC error, so that the log has both."""
    for key, value in _trailers(error):
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except message.DecodeError:
                break
            # If the details contradict the code, a service of Roadstead has not written them.
            if status.code == error.code().value[0]:
                return from_status(status)
            break
    return _bare(error.code())


def is_answered(error: DomainError) -> bool:
    """Whether a service has ended a call with this error. Otherwise gRPC has, such as after a broken connection."""
    cause = error.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and any(key == DETAILS_KEY for key, _ in _trailers(cause))


def _trailers(error: grpc.aio.AioRpcError) -> Iterable[tuple[str, str | bytes]]:
    return error.trailing_metadata() or ()


def trailing_metadata(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """The trailers that carry a status."""
    return ((DETAILS_KEY, status.SerializeToString()),)


async def abort(context: grpc.aio.ServicerContext, error: DomainError, service: str) -> NoReturn:  # type: ignore[type-arg]  # the request's and answer's types do not matter here
    """Ends a call with an error. Never returns: gRPC raises."""
    status = to_status(error, service)
    await context.abort(grpc_code(error), status.message, trailing_metadata(status))
    raise AssertionError("gRPC's abort raises")


def _bare(code: grpc.StatusCode) -> DomainError:
    return error_for(_REASON_OF_BARE_CODE.get(code, "INTERNAL"))


def _add(status: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _find(status: status_pb2.Status, into: Any) -> Any:
    """Reads the first detail of that type into `into` and returns it; None if there is none."""
    for detail in status.details:
        try:
            if detail.Unpack(into):
                return into
        except message.DecodeError:
            return None
    return None


def _violations(error: DomainError, room_bytes: int) -> Any:
    """The violations as the detail for the code, as many as fit into `room_bytes`."""
    failed_precondition = grpc_code(error) is grpc.StatusCode.FAILED_PRECONDITION
    detail: Any = error_details_pb2.PreconditionFailure() if failed_precondition else error_details_pb2.BadRequest()
    violations = detail.violations if failed_precondition else detail.field_violations
    for violation in error.violations:
        name = _clipped(violation.field, _MAXIMUM_VALUE_CHARACTERS)
        description = _clipped(violation.description, _MAXIMUM_VALUE_CHARACTERS)
        if failed_precondition:
            violations.add(type=error.reason, subject=name, description=description)
        else:
            violations.add(field=name, description=description)
        if detail.ByteSize() > room_bytes and len(violations) > 1:
            del violations[-1]
            break
    return detail


def _named_violations(status: status_pb2.Status) -> Iterable[FieldViolation]:
    request = _find(status, error_details_pb2.BadRequest())
    if request is not None:
        for violation in request.field_violations:
            yield FieldViolation(field=violation.field, description=violation.description)
    precondition = _find(status, error_details_pb2.PreconditionFailure())
    if precondition is not None:
        for violation in precondition.violations:
            yield FieldViolation(field=violation.subject, description=violation.description)


def _duration(seconds: float) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1_000_000_000))


def _clipped(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
