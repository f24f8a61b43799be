import asyncio
from collections.abc import Callable

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from svckit.errors import (
    REASONS,
    Conflict,
    DomainError,
    FieldViolation,
    Invalid,
    NotFound,
    Precondition,
    Unauthenticated,
    Unavailable,
    error_for,
)
from svckit.errors.status import (
    DETAILS_KEY,
    abort,
    from_rpc_error,
    from_status,
    is_answered,
    to_status,
    trailing_metadata,
)


def rpc_error(
    code: grpc.StatusCode, details: str = "", trailers: tuple[tuple[str, str | bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=details)


def detail_types(status: status_pb2.Status) -> list[str]:
    return [detail.TypeName().rsplit(".", 1)[-1] for detail in status.details]


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_survives_the_wire(reason: str) -> None:
    there = error_for(reason, "a text", metadata={"k": "v"})
    back = from_status(status_pb2.Status.FromString(to_status(there, "metasvc").SerializeToString()))
    assert type(back) is type(there)
    assert back.reason == reason
    assert back.message == there.public_message
    assert back.retry_after_seconds == there.retry_after_seconds
    assert back.metadata == ({} if reason == "INTERNAL" else {"k": "v"})


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_error_of_a_service_differs_from_one_of_grpc_itself(is_ours: bool) -> None:
    trailers = trailing_metadata(to_status(error_for("INTERNAL"), "metasvc")) if is_ours else ()
    cause = rpc_error(grpc.StatusCode.INTERNAL, trailers=trailers)
    error = from_rpc_error(cause)
    error.__cause__ = cause
    assert error.reason == "INTERNAL"
    assert is_answered(error) == is_ours


def test_the_domain_names_the_service_that_refused() -> None:
    info = error_details_pb2.ErrorInfo()
    assert to_status(NotFound(), "blobsvc").details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NOT_FOUND", "blobsvc.roadstead")


def test_violations_are_a_bad_request_or_a_failed_precondition_as_the_code_is() -> None:
    violations = [FieldViolation("page_size", "too large")]
    invalid = to_status(Invalid(violations=violations), "metasvc")
    failed = to_status(Precondition(violations=violations), "metasvc")
    assert detail_types(invalid) == ["ErrorInfo", "BadRequest"]
    assert detail_types(failed) == ["ErrorInfo", "PreconditionFailure"]
    assert from_status(invalid).violations == tuple(violations)
    assert from_status(failed).violations == tuple(violations)


def test_a_quota_is_marked_and_overload_says_when_to_come_back() -> None:
    assert detail_types(to_status(DomainError("QUOTA_EXCEEDED"), "metasvc")) == ["ErrorInfo", "QuotaFailure"]
    assert detail_types(to_status(DomainError("OVERLOADED"), "metasvc")) == ["ErrorInfo", "RetryInfo"]


def test_fractions_of_a_second_survive() -> None:
    assert from_status(to_status(Unavailable(retry_after_seconds=2.25), "a")).retry_after_seconds == 2.25


def test_an_internal_error_tells_nothing() -> None:
    error = DomainError(
        "INTERNAL", "psycopg: password", metadata={"dsn": "secret"}, violations=[FieldViolation("a", "secret")]
    )
    wire = to_status(error, "metasvc").SerializeToString()
    assert b"password" not in wire
    assert b"secret" not in wire


def test_a_status_stays_below_what_clients_accept_in_headers() -> None:
    error = Invalid(
        message="ü" * 10_000,
        metadata={f"key{number}": "v" * 5_000 for number in range(50)},
        violations=[FieldViolation("f" * 1_000, "d" * 1_000) for _ in range(200)],
    )
    status = to_status(error, "metasvc")
    # base64 of the details, and the percent-encoded message beside them, within 8 KiB
    assert status.ByteSize() * 4 / 3 + 3 * len(status.message.encode()) < 8 * 1024
    assert from_status(status).violations


@pytest.mark.parametrize(
    ("code", "reason", "retry_after_seconds"),
    [
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", 1),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "UNAVAILABLE", 1),
        (grpc.StatusCode.CANCELLED, "UNAVAILABLE", 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 1),
        (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHORIZED", None),
        (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN", None),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", None),
        (grpc.StatusCode.ALREADY_EXISTS, "CONFLICT", None),
        (grpc.StatusCode.ABORTED, "CONFLICT", None),
        (grpc.StatusCode.FAILED_PRECONDITION, "PRECONDITION", None),
        (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST", None),
        (grpc.StatusCode.OUT_OF_RANGE, "RANGE_INVALID", None),
        (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED", None),
        (grpc.StatusCode.UNKNOWN, "INTERNAL", None),
        (grpc.StatusCode.INTERNAL, "INTERNAL", None),
        (grpc.StatusCode.DATA_LOSS, "INTERNAL", None),
    ],
)
def test_a_failed_call_without_details_means_what_its_code_says(
    code: grpc.StatusCode, reason: str, retry_after_seconds: float | None
) -> None:
    error = from_rpc_error(rpc_error(code, "failed to connect to unix:/run/roadstead/meta.sock"))
    assert (error.reason, error.retry_after_seconds) == (reason, retry_after_seconds)
    assert "sock" not in error.message


def test_details_of_a_failed_call_are_read() -> None:
    status = to_status(Unauthenticated("INSUFFICIENT_SCOPE", metadata={"scope": "repository:a/b:pull"}), "metasvc")
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAUTHENTICATED, status.message, trailing_metadata(status)))
    assert error.reason == "INSUFFICIENT_SCOPE"
    assert error.metadata == {"scope": "repository:a/b:pull"}


def test_details_that_contradict_the_code_or_are_broken_do_not_count() -> None:
    status = to_status(NotFound("MANIFEST_UNKNOWN"), "metasvc")
    contradicting = rpc_error(grpc.StatusCode.UNAVAILABLE, "", trailing_metadata(status))
    broken = rpc_error(grpc.StatusCode.NOT_FOUND, "", ((DETAILS_KEY, b"\xff\xff\xff"),))
    assert from_rpc_error(contradicting).reason == "UNAVAILABLE"
    assert from_rpc_error(broken).reason == "NOT_FOUND"


def with_info(code: int, reason: str, domain: str) -> status_pb2.Status:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    return status_pb2.Status(code=code, message="a text", details=[packed])


def test_a_reason_that_is_not_known_here_is_read_by_its_code() -> None:
    error = from_status(with_info(code_pb2.ALREADY_EXISTS, "LABEL_EXISTS", "metasvc.roadstead"))
    assert isinstance(error, Conflict)
    assert (error.reason, error.message) == ("CONFLICT", "a text")


def test_an_error_info_of_another_domain_does_not_count() -> None:
    error = from_status(with_info(code_pb2.NOT_FOUND, "MANIFEST_UNKNOWN", "storage.googleapis.com"))
    assert (error.reason, error.message) == ("NOT_FOUND", "not found")


async def test_an_aborted_call_gives_the_caller_the_same_error() -> None:
    sent = Invalid("TAG_INVALID", "no such tag: ü", violations=[FieldViolation("tag", "has a space")])

    async def refuse(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await abort(context, sent, "metasvc")

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(refuse)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s.S", {"M": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = channel.unary_unary("/s.S/M")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call(b""), 20)
    await server.stop(None)
    received = from_rpc_error(caught.value)
    assert type(received) is Invalid
    assert (received.reason, received.message, received.violations) == (sent.reason, sent.message, sent.violations)
