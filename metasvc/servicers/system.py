"""What administrators see of the machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roadstead.meta.v1 import system_service_pb2 as pb
from roadstead.meta.v1.system_service_pb2_grpc import SystemServiceServicer
from roadstead.meta.v1.system_volume_pb2 import SystemVolume

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class SystemServicer(SystemServiceServicer):
    """Serves `roadstead.meta.v1.SystemService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def ListSystemVolumes(
        self, request: pb.ListSystemVolumesRequest, context: Context
    ) -> pb.ListSystemVolumesResponse:
        capacity = await self._ports.bytes.capacity()
        volume = SystemVolume(total_bytes=capacity.total_bytes, free_bytes=capacity.free_bytes)
        return pb.ListSystemVolumesResponse(volumes=[volume])
