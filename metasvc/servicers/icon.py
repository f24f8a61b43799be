"""Icons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.domain.icon import ICON_TYPE, get_icon
from roadstead.meta.v1 import icon_service_pb2 as pb
from roadstead.meta.v1.icon_service_pb2_grpc import IconServiceServicer

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]


class IconServicer(IconServiceServicer):
    """Serves `roadstead.meta.v1.IconService`."""

    async def GetIcon(self, request: pb.GetIconRequest, context: Context) -> pb.GetIconResponse:
        return pb.GetIconResponse(icon=pb.Icon(content_type=ICON_TYPE, content=get_icon(request.digest)))
