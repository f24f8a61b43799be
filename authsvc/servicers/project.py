"""Projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_project, from_seen, identity_of, known_identity, to_allowlist, to_requester
from authsvc.domain import project as domain
from authsvc.domain import project_change
from roadstead.auth.v1 import project_service_pb2 as pb
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class ProjectServicer(ProjectServiceServicer):
    """Serves `roadstead.auth.v1.ProjectService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Context) -> pb.CreateProjectResponse:
        new = domain.NewProject.parse(
            request.name,
            public=request.public if request.HasField("public") else None,
            settings=request.metadata,
            storage_limit_bytes=request.storage_limit_bytes if request.HasField("storage_limit_bytes") else None,
            cve_allowlist=to_allowlist(request.cve_allowlist, 0),
            registry_id=request.registry_id if request.HasField("registry_id") else None,
        )
        project = await project_change.create_project(
            self._ports, to_requester(current_call()), new, key=idempotency_key(request)
        )
        return pb.CreateProjectResponse(project=from_seen(project))

    async def GetProject(self, request: pb.GetProjectRequest, context: Context) -> pb.GetProjectResponse:
        call = current_call()
        seen = await domain.get_project(self._ports, identity_of(call.principal), _project_id())
        return pb.GetProjectResponse(project=from_seen(seen))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        page = await domain.list_projects(
            self._ports,
            identity_of(current_call().principal),
            to_list_request(request),
            name=request.name,
            public=request.public if request.HasField("public") else None,
            owner=request.owner,
            sees_all=current_call().acts_for_itself,
        )
        return pb.ListProjectsResponse(
            projects=map(from_seen, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def CheckProjectName(
        self, request: pb.CheckProjectNameRequest, context: Context
    ) -> pb.CheckProjectNameResponse:
        identity = known_identity(current_call().principal)
        await domain.check_project_name(self._ports, identity, request.project_name)
        return pb.CheckProjectNameResponse()

    async def UpdateProject(self, request: pb.UpdateProjectRequest, context: Context) -> pb.UpdateProjectResponse:
        change = domain.ProjectChange.parse(
            settings=request.metadata,
            public=request.public if request.HasField("public") else None,
            etag=request.etag,
            name=request.name,
            cve_allowlist=to_allowlist(request.cve_allowlist, _project_id())
            if request.HasField("cve_allowlist")
            else None,
        )
        seen = await project_change.update_project(self._ports, to_requester(current_call()), _project_id(), change)
        return pb.UpdateProjectResponse(project=from_seen(seen))

    async def LookUpProject(self, request: pb.LookUpProjectRequest, context: Context) -> pb.LookUpProjectResponse:
        by_id = request.project.WhichOneof("ref") == "id"
        project = await domain.look_up_project(
            self._ports, request.project.id if by_id else None, None if by_id else request.project.name
        )
        return pb.LookUpProjectResponse(project=from_project(project))

    async def DeleteProject(self, request: pb.DeleteProjectRequest, context: Context) -> pb.DeleteProjectResponse:
        await project_change.delete_project(self._ports, current_call().origin, request.project_id)
        return pb.DeleteProjectResponse()


def _project_id() -> int:
    return authorized_project(current_call()).id
