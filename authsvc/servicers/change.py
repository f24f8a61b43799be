"""The change log. `svckit.changes` does the work."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from roadstead.auth.v1 import change_service_pb2 as pb
from roadstead.auth.v1.change_service_pb2_grpc import ChangeServiceServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from authsvc.domain.change import ChangeKind
    from svckit.changes.serving import ChangeServing

    Context = grpc.aio.ServicerContext[Any, Any]


class ChangeServicer(ChangeServiceServicer):
    """Serves `roadstead.auth.v1.ChangeService`."""

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
