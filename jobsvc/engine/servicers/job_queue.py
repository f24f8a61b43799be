"""Queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsvc.engine.convert import from_queue
from jobsvc.engine.domain.queue import act_on_queue, list_queues
from roadstead.job.v1 import job_queue_service_pb2 as pb
from roadstead.job.v1.job_queue_service_pb2_grpc import JobQueueServiceServicer

if TYPE_CHECKING:
    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts

    Context = grpc.aio.ServicerContext[Any, Any]


class JobQueueServicer(JobQueueServiceServicer):
    """Serves `roadstead.job.v1.JobQueueService`."""

    def __init__(self, ports: EnginePorts) -> None:
        """Takes the engine's ports."""
        self._ports = ports

    async def ListJobQueues(self, request: pb.ListJobQueuesRequest, context: Context) -> pb.ListJobQueuesResponse:
        queues = await list_queues(self._ports)
        now = self._ports.clock()
        return pb.ListJobQueuesResponse(queues=[from_queue(queue, now) for queue in queues])

    async def ActOnJobQueue(self, request: pb.ActOnJobQueueRequest, context: Context) -> pb.ActOnJobQueueResponse:
        stopped = await act_on_queue(self._ports, request.job_type, request.action)
        return pb.ActOnJobQueueResponse(stopped_count=stopped)
