"""The change log. `svckit.changes` does the work."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metasvc.domain.model import ChangeKind
from roadstead.meta.v1 import change_service_pb2 as pb
from roadstead.meta.v1.change_service_pb2_grpc import ChangeServiceServicer
from svckit.convert import to_repository_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from svckit.access.decision import ResolvedProject
    from svckit.change import ChangeFilter
    from svckit.changes.serving import ChangeServing

    Context = grpc.aio.ServicerContext[Any, Any]

_IN_REPOSITORIES = frozenset(
    {
        ChangeKind.TAG_PUT,
        ChangeKind.TAG_DELETE,
        ChangeKind.MANIFEST_PUT,
        ChangeKind.MANIFEST_DELETE,
        ChangeKind.REPOSITORY_UPDATE,
        ChangeKind.REPOSITORY_DELETE,
        ChangeKind.ARTIFACT_LABEL_ADD,
        ChangeKind.ARTIFACT_LABEL_REMOVE,
    }
)
"""The kinds whose resource is a repository. A label, for example, may have the name of one."""


def changes_in_repository(
    wanted: ChangeFilter[ChangeKind], project: ResolvedProject, name: str
) -> ChangeFilter[ChangeKind]:
    """Narrows a filter to a repository of a project.

    Raises:
        DomainError: NAME_INVALID.
    """
    full_name = str(to_repository_name(f"{project.name}/{name}"))
    kinds = _IN_REPOSITORIES if wanted.kinds is None else wanted.kinds & _IN_REPOSITORIES
    return replace(wanted, kinds=kinds, resource_name=full_name)


class ChangeServicer(ChangeServiceServicer):
    """Serves `roadstead.meta.v1.ChangeService`."""

    def __init__(self, changes: ChangeServing[ChangeKind]) -> None:
        """Takes the log."""
        self._changes = changes

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        async with aclosing(self._changes.watch(request)) as answers:
            async for fields in answers:
                yield pb.WatchResponse(**fields)

    async def ListChanges(self, request: pb.ListChangesRequest, context: Context) -> pb.ListChangesResponse:
        return pb.ListChangesResponse(**await self._changes.list_changes(request))

    async def PutCursor(self, request: pb.PutCursorRequest, context: Context) -> pb.PutCursorResponse:
        return pb.PutCursorResponse(**await self._changes.put_cursor(request))

    async def GetCursor(self, request: pb.GetCursorRequest, context: Context) -> pb.GetCursorResponse:
        return pb.GetCursorResponse(**await self._changes.get_cursor(request))

    async def ListCursors(self, request: pb.ListCursorsRequest, context: Context) -> pb.ListCursorsResponse:
        return pb.ListCursorsResponse(**await self._changes.list_cursors())

    async def DeleteCursor(self, request: pb.DeleteCursorRequest, context: Context) -> pb.DeleteCursorResponse:
        return pb.DeleteCursorResponse(**await self._changes.delete_cursor(request))

    async def CompactChanges(self, request: pb.CompactChangesRequest, context: Context) -> pb.CompactChangesResponse:
        return pb.CompactChangesResponse(**await self._changes.compact_changes(request))
