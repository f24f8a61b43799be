"""Asking authsvc over a real channel: its own contract, with a servicer that answers by the caller's token."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from roadstead.auth.v1 import (
    access_service_pb2,
    project_pb2,
    project_service_pb2,
)
from svckit.access.call import Call, current_call
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ProjectKey, ResolvedProject
from svckit.access.principal import Principal
from svckit.access.remote import RemoteChecker
from svckit.errors import NotFound, Unavailable
from svckit.rpc import open_channel
from svckit.tokens import ActingToken
from tests.harness.stand_ins.serving import StandIn, serve
from tests.unit.svckit.rpc.world import Installation


class Authsvc(StandIn):
    """User 7 may pull from project 1, and sees project 2. Project 1 is found by its id and by its name."""

    async def CheckAccess(self, request: access_service_pb2.CheckAccessRequest, context: Any) -> Any:
        assert current_call().caller_service == "metasvc"
        known = current_call().principal.subject == "user:7"
        named = request.project.id or {"library": 1, "other": 2}.get(request.project.name)
        if not known or named not in (1, 2):
            return access_service_pb2.CheckAccessResponse()
        return access_service_pb2.CheckAccessResponse(
            allowed=named == 1 and request.action == "pull", visible=True, project_id=named, project_name="p"
        )

    async def CheckSystemAccess(self, request: access_service_pb2.CheckSystemAccessRequest, context: Any) -> Any:
        return access_service_pb2.CheckSystemAccessResponse(allowed=request.action == "list")

    async def ListAccessibleProjects(self, request: Any, context: Any) -> Any:
        return access_service_pb2.ListAccessibleProjectsResponse(project_ids=[1, 2])

    async def LookUpProject(self, request: project_service_pb2.LookUpProjectRequest, context: Any) -> Any:
        assert (current_call().principal.kind, current_call().caller_service) == ("anonymous", "metasvc")
        if request.project.id != 1 and request.project.name != "library":
            raise NotFound("PROJECT_UNKNOWN")
        return project_service_pb2.LookUpProjectResponse(project=project_pb2.Project(id=1, name="library"))


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
async def checker(installation: Installation) -> AsyncIterator[RemoteChecker]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rpc")))
        servers = await serve(stack, folder, {"authsvc": Authsvc()}, installation.keyring)
        tokens = installation.keyring.service_tokens("metasvc")
        target = str(servers["authsvc"].addresses[0])
        channel = await stack.enter_async_context(open_channel(target, service_tokens=tokens))
        yield RemoteChecker(channel)


async def test_the_answer_is_about_the_caller_of_the_call(checker: RemoteChecker, installation: Installation) -> None:
    user, nobody = Call("m", token=installation.user()), Call("m")
    allowed = ProjectDecision(allowed=True, visible=True, project_id=1, project_name="p")
    seen = ProjectDecision(allowed=False, visible=True, project_id=2, project_name="p")
    for key, expected in (
        (ProjectKey(id=1), allowed),
        (ProjectKey(name="library"), allowed),
        (ProjectKey(id=2), seen),
        (ProjectKey(name="other"), seen),
        (ProjectKey(id=3), NOT_VISIBLE),
    ):
        assert await checker.check_project(user, key, "repository", "pull") == expected
        assert await checker.check_project(nobody, key, "repository", "pull") == NOT_VISIBLE
    assert await checker.check_system(user, "user", "list") is True
    assert await checker.check_system(user, "user", "create") is False
    assert await checker.accessible_projects(user, "repository", "list") == AccessibleProjects(
        all=False, project_ids=frozenset({1, 2})
    )


async def test_a_project_is_found_for_a_service_that_acts_for_itself(checker: RemoteChecker) -> None:
    """By the right of the service that asks: the acting token is meant for this one, and goes no further."""
    for key in (ProjectKey(id=1), ProjectKey(name="library"), ProjectKey(name="library", repository="library/a")):
        assert await checker.resolve_project(_acting(), key) == ResolvedProject(1, "library")
    for key in (ProjectKey(id=2), ProjectKey(name="other")):
        with pytest.raises(NotFound) as caught:
            await checker.resolve_project(_acting(), key)
        assert caught.value.reason == "PROJECT_UNKNOWN"


async def test_a_list_is_whole_for_a_service_that_its_rule_names_and_for_no_other(checker: RemoteChecker) -> None:
    assert await checker.accessible_projects(_acting("jobsvc"), "repository", "list") == AccessibleProjects(all=True)
    for named in ((), ("metasvc",)):
        assert not (await checker.accessible_projects(_acting(*named), "repository", "list")).all


def _acting(*services: str) -> Call:
    principal = Principal.of_acting(ActingToken(subject="service:jobsvc"))
    return Call("m", principal=principal, caller_service="jobsvc", services=frozenset(services))


async def test_an_authsvc_that_is_away_allows_nothing() -> None:
    async with open_channel("unix:/nowhere/authsvc", wait_for_ready=False) as channel:
        checker = RemoteChecker(channel)
        with pytest.raises(Unavailable):
            await checker.check_project(Call("m"), ProjectKey(id=1), "repository", "pull")
        with pytest.raises(Unavailable):
            await checker.check_system(Call("m"), "user", "list")
        with pytest.raises(Unavailable):
            await checker.resolve_project(_acting(), ProjectKey(id=1))
