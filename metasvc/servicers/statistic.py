"""Numbers of projects and repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.domain.statistic import get_statistics
from roadstead.meta.v1 import statistic_service_pb2 as pb
from roadstead.meta.v1.statistic_service_pb2_grpc import StatisticServiceServicer
from svckit.access.call import current_call

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class StatisticServicer(StatisticServiceServicer):
    """Serves `roadstead.meta.v1.StatisticService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Context) -> pb.GetStatisticsResponse:
        counted = await get_statistics(self._ports, is_user=current_call().principal.kind == "user")
        return pb.GetStatisticsResponse(
            statistic=pb.Statistic(
                private_project_count=counted.private_projects,
                private_repository_count=counted.private_repositories,
                public_project_count=counted.public_projects,
                public_repository_count=counted.public_repositories,
                total_project_count=counted.total_projects,
                total_repository_count=counted.total_repositories,
                total_storage_bytes=counted.total_storage_bytes,
            )
        )
