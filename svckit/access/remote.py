"""Asks authsvc what a caller may do: the `AccessChecker` of the services that have no users of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.access.v1 import project_ref_pb2
from roadstead.auth.v1 import access_service_pb2, access_service_pb2_grpc
from svckit.access.call import serving
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision

if TYPE_CHECKING:
    import grpc.aio

    from svckit.access.call import Call
    from svckit.access.decision import ProjectKey


class RemoteChecker:
    """An `AccessChecker` over `roadstead.auth.v1.AccessService`, one RPC for each question.

    The question goes out with the caller's own token and authsvc judges that, so this needs a channel of
    `svckit.rpc.channel`, which passes it on and turns failures into `DomainError`s. Wrap it in a `RememberedChecker`.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes a channel to authsvc."""
        self._access = access_service_pb2_grpc.AccessServiceStub(channel)

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Asks CheckAccess. Raises DomainError: UNAVAILABLE where authsvc does not answer."""
        named = project_ref_pb2.ProjectRef()
        if project.id is not None:
            named.id = project.id
        elif project.name is not None:
            named.name = project.name
        request = access_service_pb2.CheckAccessRequest(project=named, resource=resource, action=action)
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

    async def accessible_projects(self, call: Call, resource: str, action: str) -> AccessibleProjects:
        """Asks ListAccessibleProjects: where the caller may do `action` on `resource`. Raises as `check_project`."""
        request = access_service_pb2.ListAccessibleProjectsRequest(resource=resource, action=action)
        with serving(call):
            answer = await self._access.ListAccessibleProjects(request)
        return AccessibleProjects(all=answer.all, project_ids=frozenset(answer.project_ids))
