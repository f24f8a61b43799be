"""Tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import judged_project, to_repository_name
from metasvc.domain.tag import list_names
from roadstead.meta.v1 import tag_service_pb2 as pb
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceServicer
from svckit.access.call import current_call
from svckit.errors import DomainError, FieldViolation, Invalid

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Store

    Context = grpc.aio.ServicerContext[Any, Any]


class TagServicer(TagServiceServicer):
    """Serves `roadstead.meta.v1.TagService`."""

    def __init__(self, store: Store) -> None:
        """Takes the store."""
        self._store = store

    async def ListTagNames(self, request: pb.ListTagNamesRequest, context: Context) -> pb.ListTagNamesResponse:
        limit = request.limit if request.HasField("limit") else None
        if limit is not None and limit < 0:
            raise Invalid(violations=[FieldViolation("limit", "must not be negative")])
        names, has_more = await list_names(
            self._store,
            project_id=judged_project(current_call()).id,
            repository=to_repository_name(request.repository),
            start_after=request.start_after,
            limit=limit,
        )
        return pb.ListTagNamesResponse(names=names, has_more=has_more)

    # Not served yet.

    async def ListTags(self, request: pb.ListTagsRequest, context: Context) -> pb.ListTagsResponse:
        raise DomainError("UNSUPPORTED")

    async def ListTagHistory(self, request: pb.ListTagHistoryRequest, context: Context) -> pb.ListTagHistoryResponse:
        raise DomainError("UNSUPPORTED")

    async def CreateTag(self, request: pb.CreateTagRequest, context: Context) -> pb.CreateTagResponse:
        raise DomainError("UNSUPPORTED")

    async def DeleteTag(self, request: pb.DeleteTagRequest, context: Context) -> pb.DeleteTagResponse:
        raise DomainError("UNSUPPORTED")
