"""The workers' protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobsvc.engine.convert import from_claimed, from_verdict, to_pieces, to_reports, to_results
from jobsvc.engine.domain.claim import claim_tasks, kinds_of, operators_of
from jobsvc.engine.domain.finish import finish_tasks, return_tasks, unregister_worker
from jobsvc.engine.domain.model import Worker
from jobsvc.engine.domain.report import report_tasks
from jobsvc.engine.domain.task_log import append_logs
from jobsvc.engine.domain.worker import register_worker
from roadstead.job.v1 import work_pb2
from roadstead.job.v1 import work_service_pb2 as pb
from roadstead.job.v1.work_service_pb2_grpc import WorkServiceServicer
from svckit.convert import to_time
from svckit.rpc.streams import current_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts
    from svckit.rpc.follow import Notifier

    Context = grpc.aio.ServicerContext[Any, Any]


class WorkServicer(WorkServiceServicer):
    """Serves `roadstead.job.v1.WorkService`."""

    def __init__(self, ports: EnginePorts, logs: Notifier) -> None:
        """Takes the engine's ports, and whom to notify when logs are written or tasks end."""
        self._ports = ports
        self._logs = logs

    async def RegisterWorker(self, request: pb.RegisterWorkerRequest, context: Context) -> pb.RegisterWorkerResponse:
        now = self._ports.clock()
        worker = Worker(
            id=request.worker_id,
            host=request.host,
            pid=request.pid,
            concurrency=request.concurrency,
            kinds=tuple(request.kinds),
            start_time=to_time(request.start_time, "start_time") if request.HasField("start_time") else now,
            heartbeat_time=now,
        )
        await register_worker(self._ports, worker)
        return pb.RegisterWorkerResponse(report_seconds=self._ports.rules.report_seconds)

    async def ClaimTasks(self, request: pb.ClaimTasksRequest, context: Context) -> AsyncIterator[pb.ClaimTasksResponse]:
        stream = current_stream()
        loop = asyncio.get_running_loop()
        end = loop.time() + request.wait_seconds
        with self._ports.wakes.waiting(await kinds_of(self._ports, request.worker_id)) as waiting:
            while True:
                async with stream.reading():
                    tasks = await claim_tasks(
                        self._ports, worker_id=request.worker_id, claim_key=request.claim_key, places=request.places
                    )
                left = end - loop.time()
                if tasks or left <= 0:
                    break
                await stream.wait_for(waiting.woken(), left)
        operators = await operators_of(self._ports, tasks)
        rules, kinds = self._ports.rules, self._ports.kinds
        yield pb.ClaimTasksResponse(
            tasks=[
                from_claimed(task, operators[task.execution_id], rules.lease_of(kinds.get(task.kind)))
                for task in tasks
                if task.execution_id in operators
            ]
        )

    async def ReportTasks(self, request: pb.ReportTasksRequest, context: Context) -> pb.ReportTasksResponse:
        reports = to_reports(request.reports)
        verdicts = await report_tasks(self._ports, request.worker_id, reports)
        return pb.ReportTasksResponse(verdicts=map(from_verdict, reports, verdicts))

    async def AppendTaskLogs(self, request: pb.AppendTaskLogsRequest, context: Context) -> pb.AppendTaskLogsResponse:
        await append_logs(self._ports, request.worker_id, to_pieces(request.pieces))
        self._logs.notify()
        return pb.AppendTaskLogsResponse()

    async def FinishTasks(self, request: pb.FinishTasksRequest, context: Context) -> pb.FinishTasksResponse:
        accepted = await finish_tasks(self._ports, request.worker_id, to_results(request.results))
        self._logs.notify()
        return pb.FinishTasksResponse(
            answers=[
                work_pb2.TaskResultAnswer(task_id=result.task_id, run=result.run, accepted=counts)
                for result, counts in zip(request.results, accepted, strict=True)
            ]
        )

    async def ReturnTasks(self, request: pb.ReturnTasksRequest, context: Context) -> pb.ReturnTasksResponse:
        await return_tasks(self._ports, request.worker_id, [(run.task_id, run.run) for run in request.runs])
        return pb.ReturnTasksResponse()

    async def UnregisterWorker(
        self, request: pb.UnregisterWorkerRequest, context: Context
    ) -> pb.UnregisterWorkerResponse:
        await unregister_worker(self._ports, request.worker_id)
        return pb.UnregisterWorkerResponse()
