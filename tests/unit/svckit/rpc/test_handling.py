"""What surrounds every handler: errors, cancellation, deadlines, ids, the log, metrics, the cap."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.access.call import current_call
from svckit.errors import DomainError, FieldViolation, Invalid, NotFound
from svckit.errors.status import from_rpc_error
from svckit.metrics import Metrics
from tests.harness.stand_ins.access import People
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.conftest import Log
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of


async def _caught(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _ended(call)
    return caught.value


async def _ended(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pass
    else:
        await call


async def _counted(metrics: Metrics, *lines: str) -> None:
    """Waits until the metrics hold all this: a caller hears of an error a moment before it is counted."""
    await wait_until_async(
        lambda: metrics.render().decode(),
        "a call to be counted",
        wanted=lambda text: all(line in text for line in lines),
    )


async def test_a_domain_error_arrives_with_all_it_says(stub: Any, servicer: GuardedServicer) -> None:
    async def refuses(request: Any, context: Any) -> Any:
        raise Invalid("TAG_INVALID", "no such form", metadata={"tag": "!"}, violations=(FieldViolation("tag", "bad"),))

    servicer.instead["Public"] = refuses
    error = await _caught(stub.Public(guarded_pb2.Request()))
    told = from_rpc_error(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (told.reason, told.message, dict(told.metadata)) == ("TAG_INVALID", "no such form", {"tag": "!"})
    assert told.violations == (FieldViolation("tag", "bad"),)


async def test_an_unknown_exception_is_hidden_from_the_caller_and_logged_with_its_stack(
    stub: Any, servicer: GuardedServicer, log: Log
) -> None:
    async def breaks(request: Any, context: Any) -> Any:
        raise RuntimeError("connection to db42 failed")

    async def breaks_later(request: Any, context: Any) -> AsyncIterator[Any]:
        yield guarded_pb2.Response()
        raise RuntimeError("connection to db42 failed")

    servicer.instead["Public"] = breaks
    servicer.instead["PullStream"] = breaks_later
    for call in (
        stub.Public(guarded_pb2.Request(), metadata=[("x-request-id", "r-1")]),
        stub.PullStream(guarded_pb2.Request(repository="library/alpine")),
    ):
        error = await _caught(call)
        assert error.code() is grpc.StatusCode.INTERNAL
        assert error.details() == "internal error"
        assert "db42" not in str(error.trailing_metadata())
    lines = [line for line in log() if line["event"] == "rpc_failed"]
    first, second = sorted(lines, key=lambda line: str(line["method"]))
    assert (first["request_id"], first["method"]) == ("r-1", "/roadstead.guarded.v1.Guarded/Public")
    for line in (first, second):
        assert line["exception"].startswith("Traceback")
        assert "connection to db42 failed" in line["exception"]


async def test_a_checker_that_breaks_opens_nothing(stub: Any, people: People, installation: Installation) -> None:
    people.is_reachable = False
    metadata = [("authorization", f"Bearer {installation.user()}")]
    error = await _caught(stub.Pull(guarded_pb2.Request(repository="library/alpine"), metadata=metadata))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in f"{error.details()} {error.trailing_metadata()}"


async def test_what_is_no_request_is_refused_as_wrong(start_server: Any) -> None:
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as opened:
        channel: Any = opened
        for method in ("Public", "PullStream", "WriteUpload"):
            path = f"/roadstead.guarded.v1.Guarded/{method}"
            if method == "WriteUpload":
                call = channel.stream_unary(path)(iter([b"\xff\xff\xff"]))
            elif method == "PullStream":
                call = channel.unary_stream(path)(b"\xff\xff\xff")
            else:
                call = channel.unary_unary(path)(b"\xff\xff\xff")
            error = await _caught(call)
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


async def test_an_answer_of_the_wrong_type_is_a_fault_of_ours(stub: Any, servicer: GuardedServicer) -> None:
    async def forgets(request: Any, context: Any) -> Any:
        return None

    servicer.instead["Public"] = forgets
    error = await _caught(stub.Public(guarded_pb2.Request()))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_handler_may_abort_by_itself(stub: Any, servicer: GuardedServicer, metrics: Metrics) -> None:
    async def aborts(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    servicer.instead["Public"] = aborts
    error = await _caught(stub.Public(guarded_pb2.Request()))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "gone")
    await _counted(metrics, 'code="DATA_LOSS"')


async def test_a_client_that_goes_away_cancels_its_handler(
    stub: Any, servicer: GuardedServicer, metrics: Metrics
) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def waits(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    servicer.instead["Public"] = waits
    call = stub.Public(guarded_pb2.Request())
    await started.wait()
    call.cancel()
    await asyncio.wait_for(cancelled.wait(), 5)
    await _counted(metrics, 'code="CANCELLED"')


async def test_something_cancelled_inside_a_handler_does_not_leave_the_caller_waiting(
    stub: Any, servicer: GuardedServicer
) -> None:
    async def awaits_what_was_cancelled(request: Any, context: Any) -> Any:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    servicer.instead["Public"] = awaits_what_was_cancelled
    error = await _caught(stub.Public(guarded_pb2.Request(), timeout=5))
    assert error.code() is grpc.StatusCode.INTERNAL


async def test_a_stream_that_is_abandoned_runs_its_handlers_finally(stub: Any, servicer: GuardedServicer) -> None:
    closed = asyncio.Event()

    async def goes_on(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield guarded_pb2.Response(data=bytes(100_000))
        finally:
            closed.set()

    servicer.instead["PullStream"] = goes_on
    call = stub.PullStream(guarded_pb2.Request(repository="library/alpine"))
    async for _ in call:
        call.cancel()
        break
    await asyncio.wait_for(closed.wait(), 5)


async def test_the_call_knows_until_when_its_caller_waits(stub: Any, servicer: GuardedServicer) -> None:
    import time

    async def tells(request: Any, context: Any) -> Any:
        deadline = current_call().deadline
        return guarded_pb2.Response(deadline_seconds=-1 if deadline is None else deadline - time.monotonic())

    servicer.instead["Public"] = tells
    assert 0 < (await stub.Public(guarded_pb2.Request(), timeout=30)).deadline_seconds < 31
    assert (await stub.Public(guarded_pb2.Request())).deadline_seconds == -1


async def test_request_ids_are_taken_over_where_they_are_plain_and_made_where_not(stub: Any) -> None:
    given = await stub.Public(guarded_pb2.Request(), metadata=[("x-request-id", "abc-123")])
    assert given.request_id == "abc-123"
    for bad in ("", "a b", "x" * 129):
        made = await stub.Public(guarded_pb2.Request(), metadata=[("x-request-id", bad)])
        assert len(made.request_id) == 32


async def test_each_call_is_logged_at_the_level_that_is_set(
    start_server: Any, installation: Installation, log: Log
) -> None:
    server = await start_server(access_log="info")
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        metadata = [
            ("authorization", f"Bearer {installation.user()}"),
            ("x-roadstead-service", installation.service("gateway")),
            ("x-request-id", "r-7"),
            ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),
        ]
        await stub.Public(guarded_pb2.Request(), metadata=metadata)
    [line] = [line for line in log() if line["event"] == "rpc"]
    assert line.pop("milliseconds") > 0
    del line["timestamp"]
    assert line == {
        "event": "rpc",
        "level": "info",
        "logger": "svckit.rpc.account",
        "service": "metasvc",
        "method": "/roadstead.guarded.v1.Guarded/Public",
        "code": "OK",
        "subject": "user:7",
        "caller_service": "gateway",
        "request_id": "r-7",
        "trace_id": "a" * 32,
    }


async def test_calls_are_counted_by_method_and_code(stub: Any, metrics: Metrics) -> None:
    await stub.Public(guarded_pb2.Request())
    await _caught(stub.Authenticated(guarded_pb2.Request()))
    labels = 'method="/roadstead.guarded.v1.Guarded/{}",service="metasvc"'
    ok = 'rpc_server_handled_total{code="OK",' + labels.format("Public") + "} 1.0"
    refused = 'rpc_server_handled_total{code="UNAUTHENTICATED",' + labels.format("Authenticated") + "} 1.0"
    await _counted(metrics, ok, refused, 'rpc_server_in_flight{service="metasvc"} 0.0')


async def test_one_call_too_many_is_told_to_come_again(
    start_server: Any, servicer: GuardedServicer, metrics: Metrics
) -> None:
    release, started = asyncio.Event(), asyncio.Semaphore(0)

    async def waits(request: Any, context: Any) -> Any:
        started.release()
        await release.wait()
        return guarded_pb2.Response()

    servicer.instead["Public"] = waits
    server = await start_server(max_in_flight=2, in_flight_share_without_credentials=1)
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        stub = guarded_pb2_grpc.GuardedStub(channel)
        first = stub.Public(guarded_pb2.Request())
        second = stub.Public(guarded_pb2.Request())
        for _ in range(2):
            await started.acquire()
        told = from_rpc_error(await _caught(stub.Public(guarded_pb2.Request())))
        assert told.reason == "OVERLOADED"
        assert told.retry_after_seconds == 1
        # A server that is full is not dead.
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (
            await health.Check(health_pb2.HealthCheckRequest())
        ).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await _counted(metrics, 'rpc_server_in_flight{service="metasvc"} 2.0')
        release.set()
        await asyncio.gather(first, second)
        servicer.instead.clear()
        await stub.Public(guarded_pb2.Request())


async def test_errors_keep_their_subclass_on_the_way(stub: Any, servicer: GuardedServicer) -> None:
    async def misses(request: Any, context: Any) -> Any:
        raise NotFound("MANIFEST_UNKNOWN")

    servicer.instead["Public"] = misses
    told: DomainError = from_rpc_error(await _caught(stub.Public(guarded_pb2.Request())))
    assert isinstance(told, NotFound)


async def test_verified_tokens_cost_no_second_signature(stub: Any, installation: Installation) -> None:
    metadata = [
        ("authorization", f"Bearer {installation.user()}"),
        ("x-roadstead-service", installation.service("gateway")),
    ]
    before = installation.verifier.verified_signatures
    for _ in range(5):
        await stub.Authenticated(guarded_pb2.Request(), metadata=metadata)
    assert installation.verifier.verified_signatures - before == 2


_BEYOND = guarded_pb2.Request(repository="library/alpine", names=["a", "b", "c", "much too long"])


async def test_a_request_beyond_its_bounds_does_not_reach_the_servicer(stub: Any, servicer: GuardedServicer) -> None:
    async def serves(request: Any, context: Any) -> Any:
        raise AssertionError("reached")

    servicer.instead["Public"] = serves
    told = from_rpc_error(await _caught(stub.Public(_BEYOND)))
    assert told.reason == "BAD_REQUEST"
    assert told.violations == (
        FieldViolation("names", "must have at most 3 entries"),
        FieldViolation("names[3]", "must have at most 10 characters"),
    )


async def test_who_may_not_call_hears_that_whatever_was_sent(stub: Any, installation: Installation) -> None:
    async def told(token: str) -> str:
        return reason_of(await _caught(stub.Pull(_BEYOND, metadata=[("authorization", f"Bearer {token}")])))

    assert await told(installation.registry("user:7", "library/other")) == "INSUFFICIENT_SCOPE"
    assert await told(installation.registry("user:7", "library/alpine")) == "BAD_REQUEST"


async def test_each_message_of_a_stream_is_held_against_its_bounds(stub: Any, servicer: GuardedServicer) -> None:
    read = 0

    async def collects(requests: AsyncIterator[Any], context: Any) -> Any:
        nonlocal read
        async for _ in requests:
            read += 1
        return guarded_pb2.Response()

    servicer.instead["Collect"] = collects
    good, bad = guarded_pb2.Request(names=["a"]), guarded_pb2.Request(names=["a", "b", "c", "d"])
    told = from_rpc_error(await _caught(stub.Collect(iter([good, bad, good]))))
    assert (told.reason, read) == ("BAD_REQUEST", 1)
    assert told.violations == (FieldViolation("names", "must have at most 3 entries"),)
