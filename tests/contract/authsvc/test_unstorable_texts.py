"""Texts with U+0000, which PostgreSQL does not take, in fields whose bounds allow every character."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2, project_service_pb2, user_service_pb2
from svckit.errors import DomainError
from tests.harness.authsvc import AuthService, Caller, permission_group

if TYPE_CHECKING:
    from collections.abc import Awaitable

TEXT = "a\0b"
PULL = "repository:pull"


def calls(caller: Caller) -> list[Awaitable[object]]:
    project = ProjectRef(name=TEXT)
    return [
        caller.projects.GetProject(project_service_pb2.GetProjectRequest(project=project)),
        caller.projects.CheckProjectName(project_service_pb2.CheckProjectNameRequest(project_name=TEXT)),
        caller.projects.ListProjects(project_service_pb2.ListProjectsRequest(owner=TEXT)),
        caller.access.CheckAccess(
            access_service_pb2.CheckAccessRequest(project=project, resource="repository", action="pull")
        ),
        caller.access.CheckSystemAccess(access_service_pb2.CheckSystemAccessRequest(resource=TEXT, action="read")),
        caller.users.SearchUsers(user_service_pb2.SearchUsersRequest(username=TEXT)),
        caller.users.ListCurrentUserPermissions(
            user_service_pb2.ListCurrentUserPermissionsRequest(scope=f"/project/{TEXT}")
        ),
        caller.make_robot(TEXT, "ci", PULL),
        caller.make_system_robot("ci", permission_group(TEXT, PULL)),
    ]


async def reason(call: Awaitable[object]) -> str:
    try:
        await call
    except DomainError as error:
        return error.reason
    return "OK"


@pytest.mark.parametrize("who", ["admin", "anonymous"])
async def test_they_are_answered_as_bad_requests_or_as_names_of_nothing(authsvc: AuthService, who: str) -> None:
    caller: Caller = getattr(authsvc, who)
    reasons = [await reason(call) for call in calls(caller)]
    assert set(reasons) <= {"OK", "BAD_REQUEST", "PROJECT_UNKNOWN", "UNAUTHORIZED"}
