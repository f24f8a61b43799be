"""What the administrators tell everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.domain import notice as domain
from roadstead.auth.v1 import notice_pb2
from roadstead.auth.v1 import notice_service_pb2 as pb
from roadstead.auth.v1.notice_service_pb2_grpc import NoticeServiceServicer

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Notice

    Context = grpc.aio.ServicerContext[Any, Any]


class NoticeServicer(NoticeServiceServicer):
    """Serves `roadstead.auth.v1.NoticeService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes what the domain needs."""
        self._ports = ports

    async def CreateNotice(self, request: pb.CreateNoticeRequest, context: Context) -> pb.CreateNoticeResponse:
        return pb.CreateNoticeResponse(notice=_from_notice(await domain.create_notice(self._ports, request.text)))

    async def GetNotice(self, request: pb.GetNoticeRequest, context: Context) -> pb.GetNoticeResponse:
        return pb.GetNoticeResponse(notice=_from_notice(await domain.get_notice(self._ports, request.id)))


def _from_notice(notice: Notice) -> notice_pb2.Notice:
    return notice_pb2.Notice(id=notice.id, text=notice.text)
