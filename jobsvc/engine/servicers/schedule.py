"""Schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsvc.engine.convert import from_schedule
from jobsvc.engine.domain.schedule import is_scheduler_paused, list_schedules
from roadstead.job.v1 import schedule_service_pb2 as pb
from roadstead.job.v1.schedule_service_pb2_grpc import ScheduleServiceServicer
from svckit.convert import to_list_request

if TYPE_CHECKING:
    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts

    Context = grpc.aio.ServicerContext[Any, Any]


class ScheduleServicer(ScheduleServiceServicer):
    """Serves `roadstead.job.v1.ScheduleService`."""

    def __init__(self, ports: EnginePorts) -> None:
        """Takes the engine's ports."""
        self._ports = ports

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        page = await list_schedules(self._ports, to_list_request(request))
        now = self._ports.clock()
        return pb.ListSchedulesResponse(
            schedules=[from_schedule(schedule, now) for schedule in page.items],
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def GetSchedulerStatus(
        self, request: pb.GetSchedulerStatusRequest, context: Context
    ) -> pb.GetSchedulerStatusResponse:
        return pb.GetSchedulerStatusResponse(paused=await is_scheduler_paused(self._ports, request.job_type))
