"""The sweep over gRPC, for its handler in the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsvc.execution_sweep.domain import sweep
from roadstead.job.v1 import execution_sweep_service_pb2 as pb
from roadstead.job.v1.execution_sweep_service_pb2_grpc import ExecutionSweepServiceServicer

if TYPE_CHECKING:
    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts

    Context = grpc.aio.ServicerContext[Any, Any]


class ExecutionSweepServicer(ExecutionSweepServiceServicer):
    """Serves `roadstead.job.v1.ExecutionSweepService`."""

    def __init__(self, ports: EnginePorts) -> None:
        """Takes the engine's ports."""
        self._ports = ports

    async def SweepExecutions(self, request: pb.SweepExecutionsRequest, context: Context) -> pb.SweepExecutionsResponse:
        swept = await sweep(self._ports)
        return pb.SweepExecutionsResponse(
            execution_count=swept.executions,
            task_count=swept.tasks,
            log_piece_count=swept.log_pieces,
            worker_count=swept.workers,
        )
