"""Access checks: for the services that ask over gRPC, and for authsvc's own interceptor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import identity_of
from authsvc.domain import access as domain
from authsvc.domain.permission import Permission
from authsvc.domain.project import look_up_project
from roadstead.auth.v1 import access_service_pb2 as pb
from roadstead.auth.v1.access_service_pb2_grpc import AccessServiceServicer
from svckit.access.call import current_call
from svckit.access.decision import AccessibleProjects, ResolvedProject

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from svckit.access.call import Call
    from svckit.access.decision import ProjectDecision, ProjectKey

    Context = grpc.aio.ServicerContext[Any, Any]


class StoreChecker:
    """The `svckit.access.call.AccessChecker` of authsvc, which reads its own store."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Whether the caller may do `action` on `resource` in the project.

        Raises:
            DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
        """
        return await domain.check_project_access(
            self._ports,
            identity_of(call.principal),
            project.id,
            project.name,
            Permission(resource, action),
        )

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Whether the caller may do `action` on `resource` on the system level. Raises as `check_project`."""
        return await domain.check_system_access(
            self._ports,
            identity_of(call.principal),
            Permission(resource, action),
        )

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """Finds a project without a check of the caller.

        Raises:
            DomainError: PROJECT_UNKNOWN.
        """
        found = await look_up_project(self._ports, project.id, project.name)
        return ResolvedProject(found.id, found.name)


class AccessServicer(AccessServiceServicer):
    """Serves `roadstead.auth.v1.AccessService`.

    A registry token lists the repositories and actions that it allows. So these methods allow nothing to its bearer.
    CheckSubjectAccess is for services, and looks at no caller.
    """

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CheckAccess(self, request: pb.CheckAccessRequest, context: Context) -> pb.CheckAccessResponse:
        principal = current_call().principal
        project = request.project
        if principal.registry is not None:
            return pb.CheckAccessResponse()
        decision = await domain.check_project_access(
            self._ports,
            identity_of(principal),
            project.id if project.HasField("id") else None,
            project.name if project.HasField("name") else None,
            Permission(request.resource, request.action),
        )
        return pb.CheckAccessResponse(
            allowed=decision.allowed,
            visible=decision.visible,
            project_id=decision.project_id,
            project_name=decision.project_name,
        )

    async def CheckSubjectAccess(
        self, request: pb.CheckSubjectAccessRequest, context: Context
    ) -> pb.CheckSubjectAccessResponse:
        project = request.project
        allowed = await domain.check_subject_access(
            self._ports,
            request.subject,
            project.id if project.HasField("id") else None,
            project.name if project.HasField("name") else None,
            Permission(request.resource, request.action),
        )
        return pb.CheckSubjectAccessResponse(allowed=allowed)

    async def CheckSystemAccess(
        self, request: pb.CheckSystemAccessRequest, context: Context
    ) -> pb.CheckSystemAccessResponse:
        principal = current_call().principal
        if principal.registry is not None:
            return pb.CheckSystemAccessResponse()
        allowed = await domain.check_system_access(
            self._ports,
            identity_of(principal),
            Permission(request.resource, request.action),
        )
        return pb.CheckSystemAccessResponse(allowed=allowed)

    async def ListAccessibleProjects(
        self, request: pb.ListAccessibleProjectsRequest, context: Context
    ) -> pb.ListAccessibleProjectsResponse:
        principal = current_call().principal
        projects = AccessibleProjects(all=False)
        if principal.registry is None:
            projects = await domain.accessible_projects(
                self._ports, identity_of(principal), Permission(request.resource, request.action)
            )
        return pb.ListAccessibleProjectsResponse(all=projects.all, project_ids=sorted(projects.project_ids))
