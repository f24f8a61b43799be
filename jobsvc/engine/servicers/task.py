"""Tasks and their logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsvc.engine.convert import from_log, from_task
from jobsvc.engine.domain.execution import get_task, list_tasks
from jobsvc.engine.domain.model import LogPiece, LogPosition
from jobsvc.engine.domain.stop import stop_running, stop_task, to_task_id
from jobsvc.engine.domain.task_log import after, read_log, whole_log
from roadstead.job.v1 import task_service_pb2 as pb
from roadstead.job.v1.task_service_pb2_grpc import TaskServiceServicer
from svckit.convert import to_list_request
from svckit.errors import NotFound
from svckit.rpc.follow import FollowedPage, Notifier, follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts

    Context = grpc.aio.ServicerContext[Any, Any]

# Workers write to another replica as well, which does not notify this one.
_POLL_SECONDS = 1.0


class TaskServicer(TaskServiceServicer):
    """Serves `roadstead.job.v1.TaskService`."""

    def __init__(self, ports: EnginePorts, logs: Notifier) -> None:
        """Takes the engine's ports, and what is notified when logs are written or tasks end in this replica."""
        self._ports = ports
        self._logs = logs

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        return pb.GetTaskResponse(task=from_task(await get_task(self._ports, request.task_id)))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        page = await list_tasks(self._ports, request.execution_id, to_list_request(request))
        return pb.ListTasksResponse(
            tasks=map(from_task, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def StopTask(self, request: pb.StopTaskRequest, context: Context) -> pb.StopTaskResponse:
        return pb.StopTaskResponse(task=from_task(await stop_task(self._ports, request.task_id)))

    async def StopRunningJobs(self, request: pb.StopRunningJobsRequest, context: Context) -> pb.StopRunningJobsResponse:
        await stop_running(self._ports, request.job_id)
        return pb.StopRunningJobsResponse()

    async def ReadTaskLog(
        self, request: pb.ReadTaskLogRequest, context: Context
    ) -> AsyncIterator[pb.ReadTaskLogResponse]:
        async def read(position: LogPosition) -> FollowedPage[LogPiece, LogPosition] | None:
            pieces, can_grow = await read_log(self._ports, request.task_id, position)
            if not pieces and not (request.follow and can_grow):
                return None
            end = after(pieces[-1].position) if pieces else position
            return FollowedPage(pieces, end, has_more=bool(pieces))

        start = LogPosition(request.run, request.sequence)
        async for piece in follow(read, start, self._logs, poll_seconds=_POLL_SECONDS):
            end = after(piece.position)
            yield pb.ReadTaskLogResponse(text=piece.text, next_run=end.run, next_sequence=end.sequence)

    async def GetTaskLog(self, request: pb.GetTaskLogRequest, context: Context) -> pb.GetTaskLogResponse:
        return pb.GetTaskLogResponse(log=from_log(await whole_log(self._ports, request.task_id)))

    async def GetJobLog(self, request: pb.GetJobLogRequest, context: Context) -> pb.GetJobLogResponse:
        task_id = to_task_id(request.job_id)
        if task_id is None:
            raise NotFound(message=f"job {request.job_id!a} not found")
        return pb.GetJobLogResponse(log=from_log(await whole_log(self._ports, task_id)))
