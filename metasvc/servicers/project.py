"""The usage of projects, and the deletion of empty ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_usage
from metasvc.domain.project import NOT_EMPTY, delete_project, is_deletable, list_usages
from roadstead.meta.v1 import project_service_pb2 as pb
from roadstead.meta.v1.project_service_pb2_grpc import ProjectServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project
from svckit.rpc.shield import shielded

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class ProjectServicer(ProjectServiceServicer):
    """Serves `roadstead.meta.v1.ProjectService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def DeleteProject(self, request: pb.DeleteProjectRequest, context: Context) -> pb.DeleteProjectResponse:
        call = current_call()
        project_id = authorized_project(call).id
        # Shielded: if the client disconnected between the two steps, the project would stay fenced, and nobody could
        # push to it.
        await shielded(delete_project(self._ports, project_id, call.origin))
        return pb.DeleteProjectResponse()

    async def GetProjectDeletable(
        self, request: pb.GetProjectDeletableRequest, context: Context
    ) -> pb.GetProjectDeletableResponse:
        deletable = await is_deletable(self._ports, authorized_project(current_call()).id)
        message = "" if deletable else NOT_EMPTY
        return pb.GetProjectDeletableResponse(deletable=deletable, message=message)

    async def ListProjectUsages(
        self, request: pb.ListProjectUsagesRequest, context: Context
    ) -> pb.ListProjectUsagesResponse:
        usages = await list_usages(self._ports, list(request.project_ids))
        return pb.ListProjectUsagesResponse(usages=map(from_usage, usages))
