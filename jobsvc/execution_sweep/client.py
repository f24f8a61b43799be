"""The sweep by way of jobsvc, because a worker does not reach its database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.execution_sweep.domain import Swept
from roadstead.job.v1.execution_sweep_service_pb2 import SweepExecutionsRequest
from roadstead.job.v1.execution_sweep_service_pb2_grpc import ExecutionSweepServiceStub

if TYPE_CHECKING:
    from roadstead.job.v1.execution_sweep_service_pb2_grpc import ExecutionSweepServiceAsyncStub
    from svckit.rpc import RpcChannel


class RemoteSweeper:
    """`ports.Sweeper` over gRPC."""

    def __init__(self, jobsvc: RpcChannel) -> None:
        """Takes a channel to jobsvc, on which the worker acts for itself."""
        self._stub: ExecutionSweepServiceAsyncStub = ExecutionSweepServiceStub(jobsvc)

    async def sweep(self) -> Swept:
        """See the port."""
        swept = await self._stub.SweepExecutions(SweepExecutionsRequest())
        return Swept(
            executions=swept.execution_count,
            tasks=swept.task_count,
            log_pieces=swept.log_piece_count,
            workers=swept.worker_count,
        )
