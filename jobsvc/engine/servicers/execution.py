"""Executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsvc.engine.convert import from_execution, to_document
from jobsvc.engine.domain.enqueue import start_execution
from jobsvc.engine.domain.execution import delete_execution, get_execution, list_executions
from jobsvc.engine.domain.stop import stop_execution
from roadstead.job.v1 import execution_service_pb2 as pb
from roadstead.job.v1.execution_service_pb2_grpc import ExecutionServiceServicer
from svckit.access.call import current_call
from svckit.convert import to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts

    Context = grpc.aio.ServicerContext[Any, Any]


class ExecutionServicer(ExecutionServiceServicer):
    """Serves `roadstead.job.v1.ExecutionService`."""

    def __init__(self, ports: EnginePorts) -> None:
        """Takes the engine's ports."""
        self._ports = ports

    async def StartExecution(self, request: pb.StartExecutionRequest, context: Context) -> pb.StartExecutionResponse:
        execution = await start_execution(
            self._ports,
            kind=request.kind,
            parameters=to_document(request.parameters),
            operator=current_call().origin.actor,
            key=idempotency_key(request),
        )
        return pb.StartExecutionResponse(execution=from_execution(execution))

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Context) -> pb.GetExecutionResponse:
        execution = await get_execution(self._ports, request.execution_id)
        return pb.GetExecutionResponse(execution=from_execution(execution))

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Context) -> pb.ListExecutionsResponse:
        page = await list_executions(self._ports, to_list_request(request))
        return pb.ListExecutionsResponse(
            executions=map(from_execution, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def StopExecution(self, request: pb.StopExecutionRequest, context: Context) -> pb.StopExecutionResponse:
        execution = await stop_execution(self._ports, request.execution_id)
        return pb.StopExecutionResponse(execution=from_execution(execution))

    async def DeleteExecution(self, request: pb.DeleteExecutionRequest, context: Context) -> pb.DeleteExecutionResponse:
        await delete_execution(self._ports, request.execution_id)
        return pb.DeleteExecutionResponse()
