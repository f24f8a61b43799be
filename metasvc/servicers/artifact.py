"""Artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_accessory, from_artifact, to_repository_of, to_source
from metasvc.domain.artifact import (
    delete_named_artifact,
    get_artifact,
    list_accessories,
    list_artifacts,
    list_project_artifacts,
)
from metasvc.domain.artifact_copy import ArtifactCopy, copy_artifact
from metasvc.domain.artifact_label import add_artifact_label, remove_artifact_label
from metasvc.domain.lists import ArtifactParts
from metasvc.servicers.pull_rights import require_readable
from roadstead.meta.v1 import artifact_service_pb2 as pb
from roadstead.meta.v1.artifact_service_pb2_grpc import ArtifactServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_list_request, to_reference

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactServicer(ArtifactServiceServicer):
    """Serves `roadstead.meta.v1.ArtifactService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def GetArtifact(self, request: pb.GetArtifactRequest, context: Context) -> pb.GetArtifactResponse:
        project = authorized_project(current_call())
        view = await get_artifact(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            parts=_parts(request),
        )
        return pb.GetArtifactResponse(artifact=from_artifact(view))

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: Context) -> pb.ListArtifactsResponse:
        project = authorized_project(current_call())
        page = await list_artifacts(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            request=to_list_request(request),
            parts=_parts(request),
        )
        return pb.ListArtifactsResponse(
            artifacts=map(from_artifact, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def ListProjectArtifacts(
        self, request: pb.ListProjectArtifactsRequest, context: Context
    ) -> pb.ListProjectArtifactsResponse:
        page = await list_project_artifacts(
            self._ports,
            project_id=authorized_project(current_call()).id,
            request=to_list_request(request),
            parts=_parts(request),
            latest=request.latest_in_repository,
        )
        return pb.ListProjectArtifactsResponse(
            artifacts=map(from_artifact, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def ListAccessories(self, request: pb.ListAccessoriesRequest, context: Context) -> pb.ListAccessoriesResponse:
        project = authorized_project(current_call())
        page = await list_accessories(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            request=to_list_request(request),
        )
        return pb.ListAccessoriesResponse(
            accessories=map(from_accessory, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def DeleteArtifact(self, request: pb.DeleteArtifactRequest, context: Context) -> pb.DeleteArtifactResponse:
        call = current_call()
        project = authorized_project(call)
        await delete_named_artifact(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            origin=call.origin,
        )
        return pb.DeleteArtifactResponse()

    async def AddArtifactLabel(
        self, request: pb.AddArtifactLabelRequest, context: Context
    ) -> pb.AddArtifactLabelResponse:
        call = current_call()
        project = authorized_project(call)
        await add_artifact_label(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            label_id=request.label_id,
            origin=call.origin,
        )
        return pb.AddArtifactLabelResponse()

    async def CopyArtifact(self, request: pb.CopyArtifactRequest, context: Context) -> pb.CopyArtifactResponse:
        call = current_call()
        project = authorized_project(call)
        source, reference = to_source(request.source)
        source_project = await require_readable(call, source)
        wanted = ArtifactCopy(
            source_project_id=source_project.id,
            source=str(source),
            reference=reference,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
        )
        digest = await copy_artifact(self._ports, wanted, call.origin)
        return pb.CopyArtifactResponse(reference=str(reference), digest=digest)

    async def RemoveArtifactLabel(
        self, request: pb.RemoveArtifactLabelRequest, context: Context
    ) -> pb.RemoveArtifactLabelResponse:
        call = current_call()
        project = authorized_project(call)
        await remove_artifact_label(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            label_id=request.label_id,
            origin=call.origin,
        )
        return pb.RemoveArtifactLabelResponse()


def _parts(
    request: pb.GetArtifactRequest | pb.ListArtifactsRequest | pb.ListProjectArtifactsRequest,
) -> ArtifactParts:
    return ArtifactParts(
        tags=request.with_tag if request.HasField("with_tag") else True,
        accessories=request.with_accessory,
        labels=request.with_label,
        inherited_accessories=request.with_inherited_accessory,
        immutability=request.with_immutable_status,
    )
