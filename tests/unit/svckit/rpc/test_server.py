"""Starting, listening, health, reflection, draining."""

import asyncio
import socket
import stat
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.access.rules import RuleError
from svckit.bounds import BoundsError
from svckit.errors import DomainError
from svckit.errors.status import from_rpc_error
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings, shielded
from svckit.rpc.listening import ListenError
from svckit.rpc.tls import TlsError
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc
from tests.unit.svckit.rpc.world import GuardedServicer, Installation

_NAME = "roadstead.guarded.v1.Guarded"
_Status = health_pb2.HealthCheckResponse


def _server(installation: Installation, *listen: str, **settings: Any) -> RpcServer:
    return RpcServer(
        "metasvc",
        RpcServerSettings(listen=listen, **settings),
        verifier=installation.verifier,
        metrics=Metrics("metasvc"),
    )


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ("WithoutRule", "declares no access rule"),
        ("RuleOfNoKind", "without a kind"),
        ("UnknownField", "has no field 'inner.nothing'"),
        ("WrongField", "neither a ProjectRef nor a repository"),
        ("RepeatedField", "is repeated"),
        ("NoAction", "without resource or action"),
        ("NoCallers", "must name a service"),
        ("TextAsUser", "cannot be a user's id"),
        ("NumberAsDocument", "cannot be a document"),
        ("NoDocument", "must name a document"),
        ("DocumentNowhere", "must name a field"),
        ("StreamedField", "requests are streamed"),
        ("UnknownCaller", "names nosvc"),
        ("UnknownInProject", "names nosvc"),
        ("UnknownInSystem", "names nosvc"),
        ("UnknownInRow", "names nosvc"),
        ("UnknownInSelf", "names nosvc"),
        ("RobotsOfNobody", "must name a field"),
        ("UnknownInFiltered", "names nosvc"),
        ("ActingGateway", "names gateway"),
        ("ActingOnNobody", "they are not users"),
        ("EachOfNothing", "a repeated field of messages"),
        ("EachWithoutCall", "has no MemberCall"),
        ("EachWithoutAnswers", "no answers with"),
        ("EachOfNobody", "names the services that call"),
        ("EachByBlobsvc", "names blobsvc"),
        ("EachOfHalfAStream", "streams both requests and answers, or neither"),
        ("EachActing", "its project none"),
        ("EachOfAnotherField", "has no field 'members'"),
    ],
)
def test_a_server_refuses_a_contract_whose_rule_is_missing_or_cannot_be_meant(
    service: str, says: str, installation: Installation
) -> None:
    server = _server(installation, "127.0.0.1:0")
    servicer = getattr(guarded_pb2_grpc, f"{service}Servicer")()
    with pytest.raises(RuleError, match=says) as refused:
        server.add(getattr(guarded_pb2_grpc, f"add_{service}Servicer_to_server"), servicer)
    assert f"roadstead.guarded.v1.{service}." in str(refused.value)


def test_a_server_refuses_a_contract_whose_bounds_cannot_be_meant(installation: Installation) -> None:
    server = _server(installation, "127.0.0.1:0")
    with pytest.raises(BoundsError, match=r"WronglyBounded\.number: max_length"):
        server.add(guarded_pb2_grpc.add_WrongBoundsServicer_to_server, guarded_pb2_grpc.WrongBoundsServicer())


def test_a_servicer_that_is_not_asynchronous_is_refused(installation: Installation) -> None:
    class Blocking(GuardedServicer):
        def Public(self, request: Any, context: Any) -> Any:
            return guarded_pb2.Response()

    class Writing(GuardedServicer):
        async def PullStream(self, request: Any, context: Any) -> Any:
            await context.write(guarded_pb2.Response())

    for servicer, says in ((Blocking(), "must be async"), (Writing(), "must be an async generator")):
        with pytest.raises(TypeError, match=says):
            _server(installation, "127.0.0.1:0").add(guarded_pb2_grpc.add_GuardedServicer_to_server, servicer)


def test_a_long_lived_rpc_that_streams_no_answers_is_refused(installation: Installation) -> None:
    class Single(guarded_pb2_grpc.LongLivedWithOneAnswerServicer):  # type: ignore[misc]  # generated when the tests run
        async def Get(self, request: Any, context: Any) -> Any:
            return guarded_pb2.Response()

    with pytest.raises(TypeError, match="LongLivedWithOneAnswer/Get: a long-lived RPC must stream its answers"):
        _server(installation, "127.0.0.1:0").add(
            guarded_pb2_grpc.add_LongLivedWithOneAnswerServicer_to_server, Single()
        )


async def test_a_socket_is_made_for_its_owner_alone(start_server: Any, socket_dir: Path) -> None:
    await start_server()
    mode = (socket_dir / "s").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_a_second_server_on_the_same_socket_is_refused_and_the_first_goes_on(
    start_server: Any, socket_dir: Path
) -> None:
    server = await start_server()
    with pytest.raises(ListenError, match="another server does already"):
        await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())


async def test_a_socket_that_a_stranger_listens_on_is_refused(start_server: Any, socket_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(socket_dir / "s"))
        stranger.listen()
        with pytest.raises(ListenError, match="another server does already"):
            await start_server()
        assert (socket_dir / "s").exists()


async def test_a_socket_that_a_killed_server_left_behind_is_taken_over(start_server: Any, socket_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(socket_dir / "s"))
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())


async def test_a_file_that_is_no_socket_is_left_alone(start_server: Any, socket_dir: Path) -> None:
    (socket_dir / "s").write_text("mine")
    with pytest.raises(ListenError, match="not a socket"):
        await start_server()
    assert (socket_dir / "s").read_text() == "mine"


async def test_a_stopped_server_leaves_its_socket_to_the_next(start_server: Any) -> None:
    first = await start_server()
    await first.drain(0)
    second = await start_server()
    async with grpc.aio.insecure_channel(str(second.addresses[0])) as channel:
        await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())


async def test_a_second_server_on_the_same_port_is_refused(start_server: Any, socket_dir: Path) -> None:
    first = await start_server(listen=("127.0.0.1:0",))
    [address] = first.addresses
    with pytest.raises(ListenError, match=f"{address}: another server does already"):
        await start_server(listen=(f"unix:{socket_dir}/other", str(address)))
    # Nothing is kept of a start that failed half-way.
    await start_server(listen=(f"unix:{socket_dir}/other",))


async def test_a_missing_folder_is_named(start_server: Any, socket_dir: Path) -> None:
    with pytest.raises(ListenError, match="there is no folder"):
        await start_server(listen=(f"unix:{socket_dir}/nowhere/s",))


async def test_plain_text_beyond_this_machine_is_refused_unless_switched_off(start_server: Any) -> None:
    with pytest.raises(TlsError, match="plain text"):
        await start_server(listen=("0.0.0.0:0",))
    server = await start_server(listen=("0.0.0.0:0",), tls={"mode": "off"})
    assert server.addresses[0].port > 0


async def test_health_says_not_serving_until_told_and_watches_see_it_change(start_server: Any) -> None:
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=_NAME))
        assert (await watch.read()).status == _Status.NOT_SERVING
        for name in ("", _NAME):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == _Status.NOT_SERVING
        server.set_serving()
        assert (await watch.read()).status == _Status.SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == _Status.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        draining = asyncio.ensure_future(server.drain(30))
        assert (await watch.read()).status == _Status.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        await asyncio.wait_for(draining, 5)


async def test_health_says_why_it_is_not_serving_and_comes_back_by_itself(start_server: Any) -> None:
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)

        async def told() -> tuple[int, str | None]:
            call = health.Check(health_pb2.HealthCheckRequest())
            answer = await call
            return answer.status, dict(await call.trailing_metadata()).get("x-roadstead-reason")

        assert await told() == (_Status.NOT_SERVING, "starting")
        server.set_serving()
        assert await told() == (_Status.SERVING, None)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == _Status.SERVING
        server.set_condition(away=("database", "blob store"), is_full=True)
        assert (await watch.read()).status == _Status.NOT_SERVING
        assert await told() == (_Status.NOT_SERVING, "database, blob store")
        server.set_condition(away=(), is_full=True)
        assert (await watch.read()).status == _Status.SERVING
        assert await told() == (_Status.SERVING, "disk full")
        server.set_condition(away=(), is_full=False)
        assert await told() == (_Status.SERVING, None)


async def test_a_full_disk_refuses_what_adds_data_and_nothing_else(
    start_server: Any, installation: Installation
) -> None:
    server = await start_server()
    server.set_condition(away=(), is_full=True)
    ticket = guarded_pb2.Request(document=installation.ticket())
    bearer = (("authorization", f"Bearer {installation.user(1)}"),)
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        await stub.Public(guarded_pb2.Request())
        with pytest.raises(grpc.aio.AioRpcError) as one:
            await stub.CreateUser(guarded_pb2.Request(), metadata=bearer)
        assert from_rpc_error(one.value).reason == "STORAGE_FULL"
        assert one.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        # Who is not let in hears that, and not how the disk is.
        with pytest.raises(grpc.aio.AioRpcError) as stranger:
            await stub.CreateUser(guarded_pb2.Request())
        assert from_rpc_error(stranger.value).reason == "UNAUTHORIZED"
        server.set_condition(away=(), is_full=False)
        await stub.CreateUser(guarded_pb2.Request(), metadata=bearer)
        # A stream that is under way is ended as well.
        writing = stub.WriteUpload(metadata=(("authorization", f"Bearer {installation.pusher()}"),))
        await writing.write(ticket)
        await writing.write(guarded_pb2.Request(data=b"x"))
        server.set_condition(away=(), is_full=True)
        await writing.write(guarded_pb2.Request(data=b"y"))
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await writing
        assert from_rpc_error(stream.value).reason == "STORAGE_FULL"


async def test_read_only_mode_refuses_what_changes_something_and_nothing_else(
    start_server: Any, installation: Installation
) -> None:
    server = await start_server()
    ticket = guarded_pb2.Request(document=installation.ticket())
    bearer = (("authorization", f"Bearer {installation.user(1)}"),)
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        for read_only, reason in ((None, "UNAVAILABLE"), (True, "READ_ONLY")):
            server.set_read_only(read_only)
            await stub.Public(guarded_pb2.Request())
            # Its contract says that it works.
            await stub.Hash(guarded_pb2.Request())
            with pytest.raises(grpc.aio.AioRpcError) as one:
                await stub.CreateUser(guarded_pb2.Request(), metadata=bearer)
            assert from_rpc_error(one.value).reason == reason
            # Who is not let in hears that, and not in which mode the server is.
            with pytest.raises(grpc.aio.AioRpcError) as stranger:
                await stub.CreateUser(guarded_pb2.Request())
            assert from_rpc_error(stranger.value).reason == "UNAUTHORIZED"
            # A stream is refused before its first message.
            writing = stub.WriteUpload(metadata=(("authorization", f"Bearer {installation.pusher()}"),))
            with pytest.raises(grpc.aio.AioRpcError) as stream:
                await writing
            assert from_rpc_error(stream.value).reason == reason
        server.set_read_only(False)
        await stub.CreateUser(guarded_pb2.Request(), metadata=bearer)
        # And one that is under way is ended.
        writing = stub.WriteUpload(metadata=(("authorization", f"Bearer {installation.pusher()}"),))
        await writing.write(ticket)
        server.set_read_only(True)
        await writing.write(guarded_pb2.Request(data=b"x"))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await writing
        assert from_rpc_error(late.value).reason == "READ_ONLY"
        assert late.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_reflection_is_there_when_switched_on_only(start_server: Any, socket_dir: Path) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

    async def names(server: RpcServer) -> list[str]:
        async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
            stub: Any = reflection_pb2_grpc.ServerReflectionStub  # typed for channels that are not asynchronous
            ask = stub(channel).ServerReflectionInfo
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            return [
                service.name
                async for answer in ask(iter([request]))
                for service in answer.list_services_response.service
            ]

    assert _NAME in await names(await start_server(reflection=True))
    other = await start_server(listen=(f"unix:{socket_dir}/other",))
    async with grpc.aio.insecure_channel(str(other.addresses[0])) as channel:
        ask: Any = channel.unary_unary(method)
        # Unary: a client that still sends messages of a refused stream may see INTERNAL instead.
        with pytest.raises(grpc.aio.AioRpcError) as absent:
            await ask(b"")
    assert absent.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_draining_lets_calls_in_flight_end_and_takes_no_new_ones(
    start_server: Any, servicer: GuardedServicer
) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def waits(request: Any, context: Any) -> Any:
        started.set()
        await release.wait()
        return guarded_pb2.Response(text="done")

    servicer.instead["Public"] = waits
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        in_flight = stub.Public(guarded_pb2.Request())
        await started.wait()
        draining = asyncio.ensure_future(server.drain(30))
        # Answered, cut off, refused: until the client has heard that the server goes away.
        code = None
        while code is not grpc.StatusCode.UNAVAILABLE:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Authenticated(guarded_pb2.Request())
            code = refused.value.code()
        assert not draining.done()
        release.set()
        assert (await in_flight).text == "done"
        await asyncio.wait_for(draining, 5)


async def test_draining_cancels_what_goes_on_after_the_grace_and_waits_for_its_clean_up(
    start_server: Any, servicer: GuardedServicer
) -> None:
    started, events = asyncio.Event(), []

    async def never_ends(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # as a rollback takes time
            events.append("cleaned up")

    servicer.instead["Public"] = never_ends
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        call = guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())
        await started.wait()
        await server.drain(0)
        events.append("drained")
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert events == ["cleaned up", "drained"]


async def test_a_commit_is_finished_though_its_client_went_away_and_draining_waits_for_it(
    start_server: Any, servicer: GuardedServicer
) -> None:
    started, release, events = asyncio.Event(), asyncio.Event(), []

    async def commit() -> None:
        started.set()
        await release.wait()
        events.append("committed")

    async def commits(request: Any, context: Any) -> Any:
        try:
            await shielded(commit())
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        return guarded_pb2.Response()

    servicer.instead["Public"] = commits
    server = await start_server()
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        call = guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())
        await started.wait()
        call.cancel()
        draining = asyncio.ensure_future(server.drain(0))
        await wait_until_async(lambda: events, "the call to be cancelled", wanted=lambda seen: "cancelled" in seen)
        assert not draining.done()
        release.set()
        await asyncio.wait_for(draining, 5)
    assert events == ["cancelled", "committed"]


async def test_a_server_that_never_started_drains_at_once(installation: Installation) -> None:
    await _server(installation, "127.0.0.1:0").drain()


async def test_tokens_larger_than_grpcs_own_limit_arrive(stub: Any, installation: Installation) -> None:
    from svckit.tokens import Access, RegistryToken

    many = tuple(Access("repository", f"library/{'x' * 40}{n}", frozenset({"pull"}), 1) for n in range(85))
    token = installation.keyring.signer("authsvc").sign(RegistryToken(subject="user:7", access=many)).text
    assert 12_000 < len(token) < 16_384
    request = guarded_pb2.Request(repository=many[84].name)
    assert (await stub.Pull(request, metadata=[("authorization", f"Bearer {token}")])).project_id == 1


async def test_messages_of_fifteen_mebibytes_pass_both_ways(start_server: Any) -> None:
    from svckit.rpc import open_channel

    server = await start_server(message_memory_per_caller_bytes=32 * 1024 * 1024)
    async with open_channel(str(server.addresses[0])) as channel:
        data = bytes(15 * 1024 * 1024)
        answer = await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request(data=data))
        assert answer.data == data
        with pytest.raises(DomainError, match="OVERLOADED"):
            await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request(data=bytes(17 * 1024 * 1024)))


async def test_two_thousand_calls_at_once_are_all_answered(start_server: Any) -> None:
    server = await start_server(max_in_flight=4000)
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        answers = await asyncio.gather(*(stub.Public(guarded_pb2.Request(text=str(n))) for n in range(2000)))
    assert [answer.text for answer in answers] == [str(n) for n in range(2000)]


def test_the_lock_file_is_private_and_stays(installation: Installation, socket_dir: Path) -> None:
    async def start_and_stop() -> None:
        server = _server(installation, f"unix:{socket_dir}/s")
        await server.start()
        await server.drain(0)

    asyncio.run(start_and_stop())
    lock = socket_dir / "s.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert list(socket_dir.iterdir()) == [lock]
