"""The current call, and what domain code may do with it."""

import asyncio
import subprocess
import sys

import pytest

from svckit.access.actor import Actor, ChangeOrigin
from svckit.access.call import Call, NoPermissions, current_call, current_call_or_none, enter_call, serving
from svckit.access.decision import ProjectKey, ResolvedProject
from svckit.access.principal import ANONYMOUS, Principal
from svckit.errors import Denied, DomainError, NotFound, Unauthenticated
from svckit.tokens import Access, ActingToken, IdentityToken, RegistryToken

_USER = Principal("user", "user:7", 7, "alice")
_CAUSE = Actor("execution", 12)


def _acting(on_behalf_of: Actor | None = None) -> Principal:
    return Principal.of_acting(ActingToken(subject="service:jobsvc", on_behalf_of=on_behalf_of))


def test_outside_of_a_call_there_is_none() -> None:
    assert current_call_or_none() is None
    with pytest.raises(LookupError):
        current_call()


def test_a_call_is_current_inside_its_block() -> None:
    with serving(Call("outer")) as outer:
        with serving(Call("inner")) as inner:
            assert current_call() is inner
        assert current_call() is outer
    assert current_call_or_none() is None


async def test_an_entered_call_is_seen_by_its_own_task_only() -> None:
    async def enters(name: str) -> str:
        enter_call(Call(name))
        await asyncio.sleep(0)
        return current_call().method

    assert await asyncio.gather(*(asyncio.ensure_future(enters(name)) for name in "ab")) == ["a", "b"]
    assert current_call_or_none() is None


def test_what_is_logged_of_a_call_holds_no_token() -> None:
    registry = RegistryToken(subject="user:7", access=(Access("repository", "hidden/x", frozenset({"pull"}), 1),))
    call = Call("m", token="eyJsecret", principal=Principal.of_registry(registry))
    assert "eyJsecret" not in repr(call)
    assert "hidden/x" not in repr(call.principal)


@pytest.mark.parametrize(
    ("principal", "service", "actor"),
    [
        (_USER, "gateway", Actor("user", 7, "alice")),
        (_USER, None, Actor("user", 7, "alice")),
        (Principal.of_registry(RegistryToken(subject="user:7", name="alice")), "gateway", Actor("user", 7, "alice")),
        (Principal.of_registry(RegistryToken(subject="robot:3", name="robot$ci")), None, Actor("robot", 3, "robot$ci")),
        # A call that merely lacks a caller's token is an anonymous caller's, whoever passes it on.
        (ANONYMOUS, "jobsvc", Actor("anonymous")),
        (ANONYMOUS, None, Actor("anonymous")),
        (_acting(), "jobsvc", Actor("service", name="jobsvc")),
        (_acting(_CAUSE), "jobsvc", Actor("service", name="jobsvc", on_behalf_of=_CAUSE)),
    ],
)
def test_the_actor_is_who_stands_behind_a_change(principal: Principal, service: str | None, actor: Actor) -> None:
    assert Call("m", principal=principal, caller_service=service).actor == actor


def test_the_origin_of_a_change_says_by_which_token_and_request_and_from_where() -> None:
    token = ActingToken(subject="service:jobsvc", on_behalf_of=_CAUSE, token_id="t-1")
    call = Call("m", principal=Principal.of_acting(token), request_id="r-1", client_address="203.0.113.9")
    actor = Actor("service", name="jobsvc", on_behalf_of=_CAUSE)
    assert call.origin == ChangeOrigin(actor, "r-1", "203.0.113.9", "t-1")


async def test_a_service_that_acts_may_check_what_its_rule_lets_it_and_no_other_service_may() -> None:
    class Checker(NoPermissions):
        async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
            return ResolvedProject(1, "library")

    def call(*services: str) -> Call:
        return Call("m", principal=_acting(), services=frozenset(services), checker=Checker())

    assert await call("jobsvc").check_project(ProjectKey(id=1), "tag", "delete") == ResolvedProject(1, "library")
    await call("jobsvc").check_system("user", "list")
    for named in ((), ("metasvc",)):
        with pytest.raises(Denied):
            await call(*named).check_project(ProjectKey(id=1), "tag", "delete")
        with pytest.raises(Denied):
            await call(*named).check_system("user", "list")
    with pytest.raises(NotFound):
        await Call("m", principal=_acting(), services=frozenset({"jobsvc"})).check_project(
            ProjectKey(id=1), "tag", "read"
        )


async def test_without_a_checker_nothing_is_permitted() -> None:
    for principal, refusal in ((_USER, DomainError), (ANONYMOUS, Unauthenticated)):
        call = Call("m", principal=principal)
        with pytest.raises(refusal):
            await call.check_project(ProjectKey(id=1), "repository", "pull")
        with pytest.raises(refusal):
            await call.check_system("user", "list")
        assert call.project is None


async def test_a_registry_token_of_a_project_that_was_made_anew_is_no_good() -> None:
    registry = RegistryToken(subject="user:7", access=(Access("repository", "library/x", frozenset({"pull"}), 1),))
    call = Call("m", principal=Principal.of_registry(registry))
    assert (await call.check_project(ProjectKey(id=1, repository="library/x"), "repository", "pull")).id == 1
    for key in (ProjectKey(id=2, repository="library/x"), ProjectKey(id=1), ProjectKey(name="library")):
        with pytest.raises(Unauthenticated, match="INSUFFICIENT_SCOPE"):
            await call.check_project(key, "repository", "pull")
    with pytest.raises(Unauthenticated, match="INSUFFICIENT_SCOPE"):
        await call.check_project(ProjectKey(id=1, repository="library/x"), "repository", "push")


def test_a_document_where_none_is_wanted_is_a_fault_of_ours() -> None:
    with pytest.raises(DomainError, match="INTERNAL"):
        Call("m").present("x")


def test_an_answer_may_be_for_some_services_only() -> None:
    Call("m", caller_service="gateway").require_service("gateway", "jobsvc")
    for service in (None, "metasvc"):
        with pytest.raises(Denied):
            Call("m", caller_service=service).require_service("gateway", "jobsvc")


def test_a_project_is_named_one_way() -> None:
    for id_, name in ((None, None), (1, "library")):
        with pytest.raises(ValueError, match="by its id or by its name"):
            ProjectKey(id=id_, name=name)


def test_what_domain_code_may_import_brings_no_grpc_along() -> None:
    program = """
import sys
import svckit.access.call, svckit.access.decision, svckit.access.authorization, svckit.access.principal
sys.exit(" ".join(sorted(name for name in sys.modules if name.partition(".")[0] in ("grpc", "google", "roadstead"))))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


async def test_being_logged_in_is_enough_for_a_row_that_everybody_may_see_and_for_no_other_rule() -> None:
    user = Principal.of_identity(IdentityToken(subject="user:7", kind="user", id=7, name="alice"))
    call = Call("m", principal=user, row_right=("label", "list"))
    await call.check_identity()
    assert call.checked

    without_a_row = Call("m", principal=user)
    await without_a_row.check_identity()
    assert not without_a_row.checked

    registry = Principal.of_registry(RegistryToken(subject="user:7"))
    for principal, refusal in ((ANONYMOUS, Unauthenticated), (registry, Unauthenticated), (_acting(), Denied)):
        refused = Call("m", principal=principal, row_right=("label", "list"))
        with pytest.raises(refusal):
            await refused.check_identity()
        assert not refused.checked


async def test_a_token_of_somebody_who_may_not_log_in_any_more_is_not_enough() -> None:
    class Checker(NoPermissions):
        async def check_system(self, call: Call, resource: str, action: str) -> bool:
            raise Unauthenticated

    user = Principal.of_identity(IdentityToken(subject="user:7", kind="user", id=7, name="alice"))
    call = Call("m", principal=user, row_right=("label", "list"), checker=Checker())
    with pytest.raises(Unauthenticated):
        await call.check_identity()
    assert not call.checked
