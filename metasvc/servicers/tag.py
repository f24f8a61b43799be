"""Tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_move, from_tag, to_repository_of
from metasvc.domain.artifact_tag import create_tag, delete_tag, list_moves, list_tags
from metasvc.domain.tag import list_names
from roadstead.meta.v1 import tag_service_pb2 as pb
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_list_request, to_reference, to_repository_name, to_tag
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class TagServicer(TagServiceServicer):
    """Serves `roadstead.meta.v1.TagService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def ListTagNames(self, request: pb.ListTagNamesRequest, context: Context) -> pb.ListTagNamesResponse:
        limit = request.limit if request.HasField("limit") else None
        names, has_more = await list_names(
            self._ports,
            project_id=authorized_project(current_call()).id,
            repository=str(to_repository_name(request.repository)),
            start_after=request.start_after,
            limit=limit,
        )
        return pb.ListTagNamesResponse(names=names, has_more=has_more)

    async def ListTags(self, request: pb.ListTagsRequest, context: Context) -> pb.ListTagsResponse:
        project = authorized_project(current_call())
        page = await list_tags(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            request=to_list_request(request),
            with_immutable_status=request.with_immutable_status,
        )
        return pb.ListTagsResponse(
            tags=map(from_tag, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def ListTagHistory(self, request: pb.ListTagHistoryRequest, context: Context) -> pb.ListTagHistoryResponse:
        project = authorized_project(current_call())
        page = await list_moves(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            name=to_tag(request.tag_name).name,
            request=to_list_request(request),
        )
        return pb.ListTagHistoryResponse(
            moves=map(from_move, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def CreateTag(self, request: pb.CreateTagRequest, context: Context) -> pb.CreateTagResponse:
        call = current_call()
        project = authorized_project(call)
        made = await create_tag(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            name=to_tag(request.name).name,
            origin=call.origin,
            key=idempotency_key(request),
        )
        return pb.CreateTagResponse(tag=from_tag(made))

    async def DeleteTag(self, request: pb.DeleteTagRequest, context: Context) -> pb.DeleteTagResponse:
        call = current_call()
        project = authorized_project(call)
        await delete_tag(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            name=to_tag(request.tag_name).name,
            origin=call.origin,
        )
        return pb.DeleteTagResponse()
