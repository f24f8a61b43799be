"""Asks authsvc what a caller may do: the `AccessChecker` of the services that have no users of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.access.v1 import project_ref_pb2
from roadstead.auth.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    project_service_pb2,
    project_service_pb2_grpc,
)
from svckit.access.call import serving
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision, ResolvedProject

if TYPE_CHECKING:
    import grpc.aio

    from svckit.access.call import Call
    from svckit.access.decision import ProjectKey


class RemoteChecker:
    """An `AccessChecker` over `roadstead.auth.v1.AccessService`, one RPC for each question.

    authsvc authorizes the question by the caller's own token. So this needs a channel of `svckit.rpc.channel`, which
    passes the token on and turns failures into `DomainError`s. Wrap this in a `RememberedChecker`. For a service that
    acts for itself, only the project is looked up, with the right of this service.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to authsvc."""
        self._access = access_service_pb2_grpc.AccessServiceStub(channel)
        self._projects = project_service_pb2_grpc.ProjectServiceStub(channel)

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Asks CheckAccess. Raises DomainError: UNAVAILABLE if authsvc does not answer."""
        request = access_service_pb2.CheckAccessRequest(project=_named(project), resource=resource, action=action)
        with serving(call):
            answer = await self._access.CheckAccess(request)
        if not answer.visible:
            return NOT_VISIBLE
        return ProjectDecision(
            answer.allowed, visible=True, project_id=answer.project_id, project_name=answer.project_name
        )

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Asks CheckSystemAccess. Raises as `check_project`."""
        request = access_service_pb2.CheckSystemAccessRequest(resource=resource, action=action)
        with serving(call):
            answer = await self._access.CheckSystemAccess(request)
        return answer.allowed

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """Asks LookUpProject, whose rule must name this service.

        Raises:
            DomainError: PROJECT_UNKNOWN, UNAVAILABLE.
        """
        with serving(call):
            answer = await self._projects.LookUpProject(
                project_service_pb2.LookUpProjectRequest(project=_named(project))
            )
        return ResolvedProject(answer.project.id, answer.project.name)

    async def accessible_projects(self, call: Call, resource: str, action: str) -> AccessibleProjects:
        """Asks ListAccessibleProjects for the projects in which the caller may do `action` on `resource`.

        A service that a `filtered` rule lets act for itself sees all projects, without a question to authsvc. Raises as
        `check_project`.
        """
        if call.acts_for_itself:
            return AccessibleProjects(all=True)
        request = access_service_pb2.ListAccessibleProjectsRequest(resource=resource, action=action)
        with serving(call):
            answer = await self._access.ListAccessibleProjects(request)
        return AccessibleProjects(all=answer.all, project_ids=frozenset(answer.project_ids))

    async def project_count(self, call: Call) -> int:
        """Counts the projects that the caller may see, by ListProjects. Raises as `check_project`."""
        request = project_service_pb2.ListProjectsRequest(page_size=1, with_total=True)
        with serving(call):
            return (await self._projects.ListProjects(request)).total_size


def _named(project: ProjectKey) -> project_ref_pb2.ProjectRef:
    named = project_ref_pb2.ProjectRef()
    if project.id is not None:
        named.id = project.id
    elif project.name is not None:
        named.name = project.name
    return named
