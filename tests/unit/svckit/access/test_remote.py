"""Asking authsvc over a real channel: its own contract, with a servicer that answers by the caller's token."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.auth.v1 import access_service_pb2, access_service_pb2_grpc
from svckit.access.call import Call, current_call
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ProjectKey
from svckit.access.remote import RemoteChecker
from svckit.errors import Unavailable
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings, open_channel
from svckit.tokens.signer import ServiceTokenSource
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
        await server.start()
        tokens = ServiceTokenSource(installation.signers["metasvc"], lambda: installation.now)
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


async def test_an_authsvc_that_is_away_allows_nothing() -> None:
    async with open_channel("unix:/nowhere/authsvc", wait_for_ready=False) as channel:
        checker = RemoteChecker(channel)
        with pytest.raises(Unavailable):
            await checker.check_project(Call("m"), ProjectKey(id=1), "repository", "pull")
        with pytest.raises(Unavailable):
            await checker.check_system(Call("m"), "user", "list")
