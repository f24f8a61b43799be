"""What a channel adds to a call, and how failures come back."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.access.call import Call, current_call, serving
from svckit.errors import DomainError, Invalid, NotFound, Unavailable
from svckit.rpc import RpcChannel, TlsSettings, open_channel
from svckit.rpc.address import AddressError
from svckit.rpc.tls import TlsError
from svckit.tokens.signer import ServiceTokenSource
from tests.unit.svckit.rpc.conftest import Log
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

_REQUEST = guarded_pb2.Request(repository="library/alpine")


@pytest.fixture
def stub(channel: RpcChannel) -> Any:
    return guarded_pb2_grpc.GuardedStub(channel)


async def _metadata_of(servicer: GuardedServicer, call: Any) -> dict[str, str]:
    seen: dict[str, str] = {}

    async def looks(request: Any, context: Any) -> Any:
        seen.update(context.invocation_metadata())
        return guarded_pb2.Response()

    servicer.instead["Public"] = looks
    await call()
    return {key: seen[key] for key in seen if key != "user-agent"}


async def test_a_call_takes_along_who_calls_and_who_passes_it_on(
    stub: Any, servicer: GuardedServicer, installation: Installation, tokens: ServiceTokenSource
) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    caller = Call("GET /v2/", token=installation.user(), request_id="r-1", traceparent=trace)
    with serving(caller):
        seen = await _metadata_of(servicer, lambda: stub.Public(_REQUEST))
    assert seen == {
        "authorization": f"Bearer {caller.token}",
        "x-roadstead-service": tokens.current(),
        "x-request-id": "r-1",
        "traceparent": trace,
    }


async def test_outside_of_a_call_only_the_service_is_named(
    stub: Any, servicer: GuardedServicer, tokens: ServiceTokenSource
) -> None:
    assert await _metadata_of(servicer, lambda: stub.Public(_REQUEST)) == {"x-roadstead-service": tokens.current()}


async def test_explicit_metadata_wins(stub: Any, servicer: GuardedServicer) -> None:
    with serving(Call("GET /v2/", token="its-own", request_id="r-1")):
        explicit = [("authorization", "Bearer x"), ("x-request-id", "r-2"), ("x-roadstead-service", "y")]
        seen = await _metadata_of(servicer, lambda: stub.Public(_REQUEST, metadata=explicit))
    assert seen == dict(explicit)


async def test_a_token_travels_through_two_services(
    start_server: Any, socket_dir: Path, servicer: GuardedServicer, installation: Installation, stub: Any
) -> None:
    second = await start_server(listen=(f"unix:{socket_dir}/second",))
    tokens = installation.keyring.service_tokens("metasvc")
    async with open_channel(str(second.addresses[0]), service_tokens=tokens) as onward:

        async def passes_on(request: Any, context: Any) -> Any:
            return await guarded_pb2_grpc.GuardedStub(onward).Authenticated(request)

        servicer.instead["Public"] = passes_on
        with serving(Call("GET /v2/", token=installation.user(), request_id="r-1")):
            seen = await stub.Public(_REQUEST)
    assert (seen.subject, seen.caller_service, seen.request_id) == ("user:7", "metasvc", "r-1")


async def test_deadlines_shrink_on_their_way_and_are_fifteen_seconds_at_most(
    stub: Any, channel: RpcChannel, servicer: GuardedServicer
) -> None:
    async def tells(request: Any, context: Any) -> Any:
        deadline = current_call().deadline
        return guarded_pb2.Response(deadline_seconds=0 if deadline is None else deadline - time.monotonic())

    servicer.instead["Public"] = tells

    async def seconds(**more: Any) -> float:
        return float((await stub.Public(_REQUEST, **more)).deadline_seconds)

    assert 13 < await seconds() < 15.5
    assert 1 < await seconds(timeout=2) < 2.5
    with serving(Call("GET", deadline=time.monotonic() + 5)):
        assert 4 < await seconds() < 5.5
        assert 1 < await seconds(timeout=2) < 2.5
        assert 4 < await seconds(timeout=10) < 5.5
    with serving(Call("GET", deadline=time.monotonic() + 60)):
        assert 13 < await seconds() < 15.5


async def test_methods_that_take_long_and_streams_have_no_deadline(stub: Any, servicer: GuardedServicer) -> None:
    async def tells(request: Any, context: Any) -> Any:
        return guarded_pb2.Response(text=str(current_call().deadline))

    async def tells_in_a_stream(request: Any, context: Any) -> Any:
        yield await tells(request, context)

    servicer.instead = {"Hash": tells, "PullStream": tells_in_a_stream}
    with serving(Call("GET", deadline=time.monotonic() + 5)):
        assert (await stub.Hash(_REQUEST)).text == "None"
        assert [answer.text async for answer in stub.PullStream(_REQUEST)] == ["None"]


async def test_a_stream_that_is_known_to_be_short_may_have_a_deadline(
    stub: Any, servicer: GuardedServicer, socket_dir: Path
) -> None:
    async def tells(request: Any, context: Any) -> Any:
        deadline = current_call().deadline
        yield guarded_pb2.Response(deadline_seconds=0 if deadline is None else deadline - time.monotonic())

    servicer.instead["PullStream"] = tells

    async def seconds(timeout: float) -> float:
        return float(sum([answer.deadline_seconds async for answer in stub.PullStream(_REQUEST, timeout=timeout)]))

    assert 1 < await seconds(timeout=2) < 2.5
    with serving(Call("GET", deadline=time.monotonic() + 5)):
        assert 4 < await seconds(timeout=10) < 5.5
    async with open_channel(f"unix:{socket_dir}/late") as channel:
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            async for _ in guarded_pb2_grpc.GuardedStub(channel).PullStream(_REQUEST, timeout=0.2):
                pass
        assert time.monotonic() - begun >= 0.2, "it waits for a service that may come"


async def test_a_call_that_is_out_of_time_fails_as_unavailable(stub: Any, servicer: GuardedServicer) -> None:
    async def waits(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    servicer.instead["Public"] = waits
    for past in (-1, 0.05):
        with serving(Call("GET", deadline=time.monotonic() + past)), pytest.raises(Unavailable):
            await stub.Public(_REQUEST)


async def test_a_service_that_is_needed_and_away_is_named_in_the_log_and_not_to_the_caller(
    stub: Any, servicer: GuardedServicer, log: Log
) -> None:
    async with open_channel("unix:/nowhere/authsvc", wait_for_ready=False) as nowhere:

        async def needs_another(request: Any, context: Any) -> Any:
            return await guarded_pb2_grpc.GuardedStub(nowhere).Public(request)

        servicer.instead["Append"] = needs_another
        with pytest.raises(Unavailable) as caught:
            await stub.Append(_REQUEST)
    assert "nowhere" not in str(caught.value)
    [line] = [line for line in log() if line["event"] == "rpc_unavailable"]
    assert "unix:/nowhere/authsvc" in line["cause"]


async def test_errors_arrive_as_they_were_raised_from_every_kind_of_call(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def refuses(request: Any, context: Any) -> Any:
        raise NotFound("MANIFEST_UNKNOWN", "no such manifest", metadata={"reference": "v1"})

    async def refuses_later(request: Any, context: Any) -> Any:
        yield guarded_pb2.Response(text="first")
        raise NotFound("MANIFEST_UNKNOWN", "no such manifest", metadata={"reference": "v1"})

    servicer.instead = {"Public": refuses, "PullStream": refuses_later, "WriteUpload": refuses}
    got = []

    async def streams() -> None:
        async for answer in stub.PullStream(_REQUEST):
            got.append(answer.text)  # noqa: PERF401 - what came before the error must be kept

    async def reads() -> None:
        call = stub.PullStream(_REQUEST)
        while True:
            await call.read()

    async def uploads() -> None:
        await stub.WriteUpload(iter([_REQUEST] * 3))

    async def writes() -> None:
        call = stub.WriteUpload()
        for _ in range(10_000):
            await call.write(guarded_pb2.Request(data=bytes(100_000)))

    async def asks() -> None:
        await stub.Public(_REQUEST)

    for ask in (asks, streams, reads, uploads, writes):
        with pytest.raises(NotFound) as caught:
            await ask()
        error = caught.value
        assert (error.reason, error.message, dict(error.metadata)) == (
            "MANIFEST_UNKNOWN",
            "no such manifest",
            {"reference": "v1"},
        ), ask.__name__
        assert isinstance(error.__cause__, grpc.aio.AioRpcError | asyncio.InvalidStateError)
    assert got == ["first"]


async def test_both_ways_at_once(stub: Any, installation: Installation) -> None:
    async def requests() -> AsyncIterator[Any]:
        for text in ("a", "b"):
            yield guarded_pb2.Request(text=text)

    with serving(Call("GET", token=installation.user())):
        assert [answer.text async for answer in stub.Converse(requests())] == ["a", "b"]
        call = stub.Converse()
        await call.write(guarded_pb2.Request(text="c"))
        assert (await call.read()).text == "c"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_what_the_source_of_an_upload_raises_is_what_its_sender_sees(
    stub: Any, installation: Installation
) -> None:
    class BrowserHungUp(Exception):
        pass

    async def requests() -> AsyncIterator[Any]:
        yield guarded_pb2.Request(document=installation.ticket())
        raise BrowserHungUp

    with pytest.raises(BrowserHungUp):
        await stub.WriteUpload(requests())
    with serving(Call("GET", token=installation.user())), pytest.raises(BrowserHungUp):
        async for _ in stub.Converse(requests()):
            pass


async def test_cancelling_who_waits_cancels_the_call(stub: Any, servicer: GuardedServicer) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def waits(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    servicer.instead["Public"] = waits

    async def ask() -> None:
        await stub.Public(_REQUEST)

    asking = asyncio.ensure_future(ask())
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_leaving_a_stream_early_ends_it(stub: Any, servicer: GuardedServicer) -> None:
    ended = asyncio.Event()

    async def goes_on(request: Any, context: Any) -> Any:
        try:
            while True:
                yield guarded_pb2.Response(data=bytes(10_000))
        finally:
            ended.set()

    servicer.instead["PullStream"] = goes_on
    answers = aiter(stub.PullStream(_REQUEST))
    await anext(answers)
    await answers.aclose()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_call_waits_for_a_service_that_is_still_starting(start_server: Any, socket_dir: Path) -> None:
    async with open_channel(f"unix:{socket_dir}/s") as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        early = asyncio.ensure_future(_answered(stub.Public(guarded_pb2.Request(text="early"))))
        while channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await channel.wait_for_state_change(channel.get_state())
        assert not early.done()
        await start_server()
        assert (await early).text == "early"


async def test_without_waiting_a_missing_service_is_unavailable_at_once(socket_dir: Path) -> None:
    async with open_channel(f"unix:{socket_dir}/nobody", wait_for_ready=False) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        with pytest.raises(Unavailable):
            await stub.Public(_REQUEST)
        with pytest.raises(Unavailable):
            async for _ in stub.PullStream(_REQUEST):
                pass


async def test_an_address_that_cannot_be_meant_is_refused(socket_dir: Path) -> None:
    for target in ("nowhere", "unix:relative", "host:port", "::1:80", f"unix:/{'x' * 107}"):
        with pytest.raises(AddressError):
            open_channel(target)


async def test_tokens_do_not_leave_this_machine_in_plain_text() -> None:
    with pytest.raises(TlsError, match="plain text"):
        open_channel("registry.example:9402")
    await open_channel("registry.example:9402", tls=TlsSettings(mode="off")).close()


async def _answered(call: Any) -> Any:
    return await call


async def test_wrong_requests_are_invalid(stub: Any) -> None:
    with pytest.raises(Invalid, match="NAME_INVALID"):
        await stub.Pull(guarded_pb2.Request(repository="alpine"))
    with pytest.raises(DomainError, match="UNAUTHORIZED"):
        await stub.Authenticated(_REQUEST)
