"""Asking authsvc over a real channel: its own contract, with a servicer that answers by the caller's token."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from roadstead.auth.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    project_pb2,
    project_service_pb2,
)
from svckit.access.call import Call, current_call
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ProjectKey, ResolvedProject
from svckit.access.principal import Principal
from svckit.access.remote import RemoteChecker
from svckit.errors import NotFound, Unavailable
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings, open_channel
from svckit.tokens import ActingToken
from tests.unit.svckit.rpc.world import Installation


class Authsvc(access_service_pb2_grpc.AccessServiceServicer):
    """User 7 may pull from project 1, and sees project 2."""

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


async def look_up_project(
    request: project_service_pb2.LookUpProjectRequest, context: Any
) -> project_service_pb2.LookUpProjectResponse:
    """Knows project 1."""
    assert (current_call().principal.kind, current_call().caller_service) == ("anonymous", "metasvc")
    if request.project.id != 1 and request.project.name != "library":
        raise NotFound("PROJECT_UNKNOWN")
    return project_service_pb2.LookUpProjectResponse(project=project_pb2.Project(id=1, name="library"))


def add_look_up_project(_: object, registrar: Any) -> None:
    """Registers this one method of authsvc's ProjectService."""
    handler = grpc.unary_unary_rpc_method_handler(
        look_up_project,
        request_deserializer=project_service_pb2.LookUpProjectRequest.FromString,
        response_serializer=project_service_pb2.LookUpProjectResponse.SerializeToString,
    )
    registrar.add_registered_method_handlers("roadstead.auth.v1.ProjectService", {"LookUpProject": handler})


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
async def checker(installation: Installation) -> AsyncIterator[RemoteChecker]:
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        server = RpcServer(
            "authsvc",
            RpcServerSettings(listen=(f"unix:{folder}/s",)),
            verifier=installation.verifier,
            metrics=Metrics("authsvc"),
        )
        server.add(access_service_pb2_grpc.add_AccessServiceServicer_to_server, Authsvc())
        server.add(add_look_up_project, None)
        await server.start()
        tokens = installation.keyring.service_tokens("metasvc")
        async with open_channel(str(server.addresses[0]), service_tokens=tokens) as channel:
            yield RemoteChecker(channel)
        await server.drain(0)


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
