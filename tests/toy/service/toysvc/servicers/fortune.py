"""Sayings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roadstead.toy.v1 import fortune_pb2
from roadstead.toy.v1 import fortune_service_pb2 as pb
from roadstead.toy.v1.fortune_service_pb2_grpc import FortuneServiceServicer
from toysvc.domain.fortune import say

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]


class FortuneServicer(FortuneServiceServicer):
    """Serves `roadstead.toy.v1.FortuneService`."""

    def __init__(self, ending: str) -> None:
        """Takes what every saying ends with."""
        self._ending = ending

    async def GetFortune(self, request: pb.GetFortuneRequest, context: Context) -> pb.GetFortuneResponse:
        text = say(request.id, self._ending)
        return pb.GetFortuneResponse(fortune=fortune_pb2.Fortune(id=request.id, text=text))
