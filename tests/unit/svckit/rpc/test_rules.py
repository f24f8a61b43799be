"""Every kind of rule against every kind of caller. The table is written by hand, and read from no contract."""

from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.tokens import RegistryToken
from tests.harness.stand_ins.access import People
from tests.unit.svckit.rpc.contract import guarded_pb2
from tests.unit.svckit.rpc.world import GuardedServicer, Installation, reason_of

# What each caller hears: ok, or the reason.
#   -  UNAUTHORIZED        (no token, or one that does not count)
#   s  INSUFFICIENT_SCOPE  (a registry token without the right)
#   f  FORBIDDEN
#   ?  PROJECT_UNKNOWN     (does not exist, or must look so)
#   !  BAD_REQUEST         (an acting token beside another one)
#   t  TICKET_INVALID      (another caller's)
#   r  RECEIPT_INVALID     (another caller's)
_REASONS = {
    "-": "UNAUTHORIZED",
    "s": "INSUFFICIENT_SCOPE",
    "f": "FORBIDDEN",
    "?": "PROJECT_UNKNOWN",
    "!": "BAD_REQUEST",
    "t": "TICKET_INVALID",
    "r": "RECEIPT_INVALID",
    "ok": None,
}
_CODES = {
    "UNAUTHORIZED": grpc.StatusCode.UNAUTHENTICATED,
    "INSUFFICIENT_SCOPE": grpc.StatusCode.UNAUTHENTICATED,
    "FORBIDDEN": grpc.StatusCode.PERMISSION_DENIED,
    "PROJECT_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "BAD_REQUEST": grpc.StatusCode.INVALID_ARGUMENT,
    "TICKET_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "RECEIPT_INVALID": grpc.StatusCode.UNAUTHENTICATED,
}
_TABLE = """
call              nobody bad forged expired oldreg reg anonreg user robot admin metasvc gateway badsvc user+gw
Public                ok  ok     ok      ok     ok  ok      ok   ok    ok    ok      ok      ok     ok      ok
Authenticated          -   -      -       -      -   s       s   ok    ok    ok       -       -      -      ok
Filtered              ok   -      -       -      -   s       s   ok    ok    ok      ok      ok      -      ok
Service                -   -      -       -      -   -       -    -     -     -      ok       f      -       f
PullAll                -   -      -       -      -   -       -    -     -     -       f      ok     -      ok
ReadProject           ok   -      -       -      -   s       s   ok    ok    ok      ok      ok      -      ok
ReadProject/2          -   -      -       -      -   s       s    ?     ?    ok       -       -      -       ?
ReadProject/3          -   -      -       -      -   s       s    ?     ?     ?       -       -      -       ?
AddMember              -   -      -       -      -   s       s    f     f    ok       -       -      -       f
Pull                  ok   -      -       -      -  ok      ok   ok    ok    ok      ok      ok      -      ok
Pull/busybox          ok   -      -       -      -   s       s   ok    ok    ok      ok      ok      -      ok
Pull/hidden            -   -      -       -      -   s       s    ?     ?    ok       -       -      -       ?
PullStream            ok   -      -       -      -  ok      ok   ok    ok    ok      ok      ok      -      ok
PullStream/hidden      -   -      -       -      -   s       s    ?     ?    ok       -       -      -       ?
CreateUser             -   -      -       -      -   s       s    f     f    ok       -       -      -       f
ListCatalog            -   -      -       -      -   s       s    f     f    ok       -       -      -       f
GetRobot/checks        -   -      -       -      -   s       s   ok    ok    ok       -       -      -      ok
ListRobots/checks      -   -      -       -      -   s       s   ok    ok    ok       -       -      -      ok
GetUser                -   -      -       -      -   s       s   ok     f    ok       -       -      -      ok
GetUser/8              -   -      -       -      -   s       s    f     f    ok       -       -      -       f
GetCurrentUser         -   -      -       -      -   s       s   ok     f    ok       -       -      -      ok
FinishUpload           -   -      -       -      s   s       s   ok     t     t       -       -      -      ok
LinkBlob               -   -      -       -      s   s       s   ok     r     r       -       -      -      ok
Converse               -   -      -       -      -   s       s   ok    ok    ok       -       -      -      ok
"""
# A service with "!" acts for itself, by an acting token; jobsvc is named where services can be, and metasvc is not.
_ACTING_TABLE = """
call               job!  meta!  jobsvc  badact  act+user  act+svc
Public               ok     ok      ok      ok         !        !
Authenticated         f      f       -       -         !        !
Filtered             ok      f      ok       -         !        !
Service              ok     ok      ok       -         !        !
ReadProject          ok      f      ok       -         !        !
ReadProject/2        ok      f       -       -         !        !
ReadProject/3         ?      f       -       -         !        !
AddMember             f      f       -       -         !        !
Pull                 ok      f      ok       -         !        !
Pull/busybox         ok      f      ok       -         !        !
Pull/hidden          ok      f       -       -         !        !
PullStream           ok      f      ok       -         !        !
PullStream/hidden    ok      f       -       -         !        !
CreateUser           ok      f       -       -         !        !
ListCatalog           f      f       -       -         !        !
GetRobot/checks      ok      f       -       -         !        !
ListRobots/checks    ok      f       -       -         !        !
GetUser              ok      f       -       -         !        !
GetUser/8            ok      f       -       -         !        !
GetCurrentUser        f      f       -       -         !        !
FinishUpload          -      -       -       -         !        !
LinkBlob              -      -       -       -         !        !
Converse              f      f       -       -         !        !
"""
# Callers with a token to push. Ticket and receipt are user 7's, of an upload that begins now. oldpush expired before.
_UPLOAD_TABLE = """
call          push7  push8  pushrobot7  oldpush7  elsewhere  otherproject
FinishUpload     ok      t           t         -          s             s
LinkBlob         ok      r           r         -          s             s
"""


def _cases() -> list[Any]:
    cases = []
    for table in (_TABLE, _ACTING_TABLE, _UPLOAD_TABLE):
        header, *lines = (line.split() for line in table.strip().splitlines())
        cases += [
            pytest.param(line[0], caller, _REASONS[expected], id=f"{line[0]}-{caller}")
            for line in lines
            for caller, expected in zip(header[1:], line[1:], strict=True)
        ]
    return cases


def _metadata(caller: str, by: Installation) -> list[tuple[str, str]]:
    authorization = {
        "nobody": None,
        "bad": "Bearer x.y.z",
        "forged": f"Bearer {by.forged_user()}",
        "expired": f"Bearer {by.expired(by.user)}",
        "oldreg": f"Bearer {by.expired(by.registry)}",
        "reg": f"Bearer {by.registry()}",
        "anonreg": f"Bearer {by.registry('anonymous')}",
        "user": f"Bearer {by.user()}",
        "robot": f"Bearer {by.robot()}",
        "admin": f"Bearer {by.user(1, is_admin=True)}",
        "user+gw": f"Bearer {by.user()}",
        "act+user": f"Bearer {by.user()}",
        "push7": f"Bearer {by.pusher()}",
        "push8": f"Bearer {by.pusher('user:8')}",
        "pushrobot7": f"Bearer {by.pusher('robot:7')}",
        "oldpush7": f"Bearer {by.expired(by.pusher)}",
        "elsewhere": f"Bearer {by.pusher(repository='library/busybox')}",
        "otherproject": f"Bearer {by.pusher(project_id=2)}",
    }.get(caller)
    service = {
        "metasvc": by.service("metasvc"),
        "jobsvc": by.service("jobsvc"),
        "act+svc": by.service("jobsvc"),
        "gateway": by.service("gateway"),
        "user+gw": by.service("gateway"),
        "badsvc": by.user(),
    }.get(caller)
    acting = {
        "job!": by.acting("jobsvc"),
        "meta!": by.acting("metasvc"),
        "badact": by.acting("jobsvc", audience="authsvc"),
        "act+user": by.acting("jobsvc"),
        "act+svc": by.acting("jobsvc"),
    }.get(caller)
    values = {"authorization": authorization, "x-roadstead-service": service, "x-roadstead-acting": acting}
    return [(key, value) for key, value in values.items() if value is not None]


def _request(call: str, by: Installation) -> Any:
    request = guarded_pb2.Request(repository="library/alpine", user_id=7)
    request.project.id = 1
    request.inner.project.name = "library"
    match call:
        case "PullAll":
            return guarded_pb2.PullAllRequest()
        case "ReadProject/2":
            request.project.id = 2
        case "ReadProject/3":
            request.project.name = "nowhere"
        case "Pull/busybox":
            request.repository = "library/busybox"
        case "Pull/hidden" | "PullStream/hidden":
            request.repository = "hidden/alpine"
        case "GetUser/8":
            request.user_id = 8
        case "FinishUpload":
            request.document = by.ticket()
        case "LinkBlob":
            request.document = by.receipt()
    return request


async def _checks(request: Any, context: Any) -> Any:
    await current_call().check_project(ProjectKey(name="library"), "robot", "read")
    return guarded_pb2.Response()


async def _checks_and_streams(request: Any, context: Any) -> Any:
    yield await _checks(request, context)


async def _greets(requests: Any, context: Any) -> Any:
    yield guarded_pb2.Response()


async def _outcome(stub: Any, call: str, request: Any, metadata: Any) -> tuple[grpc.StatusCode, str | None]:
    method = getattr(stub, call.partition("/")[0])
    try:
        if call == "Converse":
            # Nothing is written: gRPC's client now and then loses a refusal that arrives while it writes.
            running = method(metadata=metadata)
            assert await running.read() is not grpc.aio.EOF
            running.cancel()
        elif call.startswith(("PullStream", "ListRobots")):
            assert [answer async for answer in method(request, metadata=metadata)]
        else:
            await method(request, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    return grpc.StatusCode.OK, None


@pytest.mark.parametrize(("call", "caller", "reason"), _cases())
async def test_a_rule_admits_and_refuses(
    call: str,
    caller: str,
    reason: str | None,
    stub: Any,
    servicer: GuardedServicer,
    installation: Installation,
) -> None:
    servicer.instead = {"GetRobot": _checks, "ListRobots": _checks_and_streams, "Converse": _greets}
    outcome = await _outcome(stub, call, _request(call, installation), _metadata(caller, installation))
    assert outcome == (grpc.StatusCode.OK if reason is None else _CODES[reason], reason)


async def test_a_hidden_project_reads_exactly_as_one_that_is_not_there(stub: Any, installation: Installation) -> None:
    caught = []
    for name in ("hidden", "nowhere"):
        request = guarded_pb2.Request()
        request.project.name = name
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ReadProject(request, metadata=_metadata("user", installation))
        caught.append((refused.value.code(), refused.value.details(), refused.value.trailing_metadata()))
    assert caught[0] == caught[1]


async def test_a_refusal_names_the_scope_that_would_help(stub: Any, installation: Installation) -> None:
    from svckit.errors.status import from_rpc_error

    request = guarded_pb2.Request(repository="hidden/alpine")
    for caller, reason in (("reg", "INSUFFICIENT_SCOPE"), ("nobody", "UNAUTHORIZED")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Pull(request, metadata=_metadata(caller, installation))
        error = from_rpc_error(refused.value)
        assert (error.reason, dict(error.metadata)) == (reason, {"scope": "repository:hidden/alpine:pull"})


async def test_a_catalog_token_opens_the_catalog_and_nothing_else(stub: Any, installation: Installation) -> None:
    metadata = [("authorization", f"Bearer {installation.catalog()}")]
    await stub.ListCatalog(guarded_pb2.Request(), metadata=metadata)
    for method in ("CreateUser", "Pull"):
        outcome = await _outcome(stub, method, _request(method, installation), metadata)
        assert outcome == (grpc.StatusCode.UNAUTHENTICATED, "INSUFFICIENT_SCOPE")


async def test_the_servicer_gets_the_project_resolved(stub: Any, people: People, installation: Installation) -> None:
    seen = await stub.Pull(guarded_pb2.Request(repository="library/alpine"), metadata=_metadata("reg", installation))
    assert (seen.project_id, seen.project_name, seen.subject) == (1, "library", "user:7")
    assert people.asked == []  # a registry token says for itself what it permits
    seen = await stub.Pull(guarded_pb2.Request(repository="library/alpine"), metadata=_metadata("user", installation))
    assert (seen.project_id, seen.project_name) == (1, "library")
    assert people.asked == [("user:7", "library", "repository", "pull")]


async def test_a_service_that_acts_for_itself_gets_the_project_resolved_and_no_right_is_asked_for(
    stub: Any, people: People, installation: Installation
) -> None:
    seen = await stub.Pull(guarded_pb2.Request(repository="hidden/alpine"), metadata=_metadata("job!", installation))
    assert (seen.project_id, seen.project_name, seen.subject) == (2, "hidden", "service:jobsvc")
    assert (people.resolved, people.asked) == (["hidden"], [])


async def test_a_service_is_the_principal_only_where_it_acts_for_itself(stub: Any, installation: Installation) -> None:
    request = guarded_pb2.Request()
    for call in (stub.Public, stub.Service):
        acts = await call(request, metadata=_metadata("job!", installation))
        passes_on = await call(request, metadata=_metadata("jobsvc", installation))
        for_user = await call(request, metadata=[*_metadata("user", installation), *_metadata("jobsvc", installation)])
        assert (acts.kind, acts.subject, acts.actor) == ("service", "service:jobsvc", "service:jobsvc")
        assert (passes_on.kind, passes_on.actor) == ("anonymous", "anonymous")
        assert (for_user.kind, for_user.actor) == ("user", "user:7")
        assert {acts.caller_service, passes_on.caller_service, for_user.caller_service} == {"jobsvc"}


async def test_a_row_is_not_loaded_for_a_service_that_may_not_act_on_it(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def loads(request: Any, context: Any) -> Any:
        pytest.fail("the row was loaded")

    servicer.instead = {"GetRobot": loads}
    assert await _outcome(stub, "GetRobot", guarded_pb2.Request(), _metadata("meta!", installation)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "FORBIDDEN",
    )


async def test_a_row_has_to_be_checked_for_a_service_too(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def forgets(request: Any, context: Any) -> Any:
        return guarded_pb2.Response()

    servicer.instead = {"GetRobot": forgets}
    code, reason = await _outcome(stub, "GetRobot", guarded_pb2.Request(), _metadata("job!", installation))
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_row_of_no_project_is_checked_on_the_system_level_for_a_service_too(
    stub: Any, servicer: GuardedServicer, people: People, installation: Installation
) -> None:
    async def checks(request: Any, context: Any) -> Any:
        await current_call().check_system("robot", "read")
        return guarded_pb2.Response()

    servicer.instead = {"GetRobot": checks}
    assert await _outcome(stub, "GetRobot", guarded_pb2.Request(), _metadata("job!", installation)) == (
        grpc.StatusCode.OK,
        None,
    )
    assert people.asked == []


async def test_what_a_service_may_not_do_for_itself_it_may_not_check_either(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    """Where no rule names services, as under `service`, acting adds nothing to what the rule admits."""

    async def checks(request: Any, context: Any) -> Any:
        await current_call().check_project(ProjectKey(name="library"), "robot", "read")

    servicer.instead = {"Service": checks}
    assert await _outcome(stub, "Service", guarded_pb2.Request(), _metadata("job!", installation)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "FORBIDDEN",
    )


@pytest.mark.parametrize("repository", ["", "alpine", "/alpine", "library/"])
async def test_a_repository_without_a_project_is_refused_with_the_form_it_should_have(
    repository: str, stub: Any, installation: Installation
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Pull(guarded_pb2.Request(repository=repository), metadata=_metadata("user", installation))
    assert reason_of(refused.value) == "NAME_INVALID"
    assert "<project>/<name>" in (refused.value.details() or "")


async def test_a_request_that_names_no_project_is_wrong(stub: Any, installation: Installation) -> None:
    for request in (
        guarded_pb2.Request(),
        guarded_pb2.Request(project={"id": 0}),
        guarded_pb2.Request(project={"name": ""}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ReadProject(request, metadata=_metadata("user", installation))
        assert reason_of(refused.value) == "BAD_REQUEST"


async def test_an_administrator_who_is_one_no_longer_is_a_user_like_others(
    stub: Any, people: People, installation: Installation
) -> None:
    people.administrators.clear()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetUser(guarded_pb2.Request(user_id=8), metadata=_metadata("admin", installation))
    assert reason_of(refused.value) == "FORBIDDEN"


async def test_another_scheme_than_bearer_is_no_token(stub: Any, installation: Installation) -> None:
    for value in (installation.user(), f"Basic {installation.user()}", "Bearer", "Bearer "):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Authenticated(guarded_pb2.Request(), metadata=[("authorization", value)])
        assert reason_of(refused.value) == "UNAUTHORIZED"


async def test_a_service_takes_only_the_kinds_of_token_it_names(start_server: Any, installation: Installation) -> None:
    from tests.unit.svckit.rpc.contract import guarded_pb2_grpc

    server = await start_server(caller_tokens=(RegistryToken,))
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        stub = guarded_pb2_grpc.GuardedStub(channel)
        request = guarded_pb2.Request(repository="library/alpine")
        await stub.Pull(request, metadata=_metadata("reg", installation))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Pull(request, metadata=_metadata("user", installation))
    assert reason_of(refused.value) == "UNAUTHORIZED"


async def test_a_token_of_another_kind_or_for_another_audience_is_no_callers_token(
    stub: Any, installation: Installation
) -> None:
    foreign = installation.keyring.registry_token(("library/alpine", "pull", 1), audience="another-registry")
    request = guarded_pb2.Request(repository="library/alpine")
    for token in (installation.service("metasvc"), installation.ticket(), installation.grant(), foreign):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Pull(request, metadata=[("authorization", f"Bearer {token}")])
        assert reason_of(refused.value) == "UNAUTHORIZED"


async def test_a_token_that_was_good_is_refused_once_it_has_expired(stub: Any, installation: Installation) -> None:
    metadata = _metadata("user", installation)
    await stub.Authenticated(guarded_pb2.Request(), metadata=metadata)
    installation.now += 1000
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Authenticated(guarded_pb2.Request(), metadata=metadata)
    finally:
        installation.now -= 1000
    assert reason_of(refused.value) == "UNAUTHORIZED"
