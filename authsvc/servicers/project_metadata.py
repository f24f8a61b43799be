"""The settings of projects, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import identity_of, to_requester
from authsvc.domain import project_metadata as domain
from roadstead.auth.v1 import project_metadata_service_pb2 as pb
from roadstead.auth.v1.project_metadata_service_pb2_grpc import ProjectMetadataServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class ProjectMetadataServicer(ProjectMetadataServiceServicer):
    """Serves `roadstead.auth.v1.ProjectMetadataService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def ListProjectMetadata(
        self, request: pb.ListProjectMetadataRequest, context: Context
    ) -> pb.ListProjectMetadataResponse:
        return pb.ListProjectMetadataResponse(metadata=await self._metadata())

    async def AddProjectMetadata(
        self, request: pb.AddProjectMetadataRequest, context: Context
    ) -> pb.AddProjectMetadataResponse:
        name, value = domain.parse_one(request.metadata)
        await domain.add_metadata(self._ports, to_requester(current_call()), _project_id(), name, value)
        return pb.AddProjectMetadataResponse()

    async def GetProjectMetadata(
        self, request: pb.GetProjectMetadataRequest, context: Context
    ) -> pb.GetProjectMetadataResponse:
        found = await self._metadata()
        name = request.meta_name
        return pb.GetProjectMetadataResponse(metadata={name: found[name]} if name in found else {})

    async def UpdateProjectMetadata(
        self, request: pb.UpdateProjectMetadataRequest, context: Context
    ) -> pb.UpdateProjectMetadataResponse:
        stated = request.metadata.get(request.meta_name, "")
        name, value = domain.parse_one({request.meta_name: stated})
        await domain.set_metadata(self._ports, to_requester(current_call()), _project_id(), name, value)
        return pb.UpdateProjectMetadataResponse()

    async def DeleteProjectMetadata(
        self, request: pb.DeleteProjectMetadataRequest, context: Context
    ) -> pb.DeleteProjectMetadataResponse:
        await domain.delete_metadata(self._ports, to_requester(current_call()), _project_id(), request.meta_name)
        return pb.DeleteProjectMetadataResponse()

    async def _metadata(self) -> dict[str, str]:
        return await domain.list_metadata(self._ports, identity_of(current_call().principal), _project_id())


def _project_id() -> int:
    return authorized_project(current_call()).id
