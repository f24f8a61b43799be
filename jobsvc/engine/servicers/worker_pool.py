"""The worker processes, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsvc.engine.convert import from_place, from_pool
from jobsvc.engine.domain.worker import list_places, list_pools
from roadstead.job.v1 import worker_pool_service_pb2 as pb
from roadstead.job.v1.worker_pool_service_pb2_grpc import WorkerPoolServiceServicer

if TYPE_CHECKING:
    import grpc.aio

    from jobsvc.engine.domain.ports import EnginePorts

    Context = grpc.aio.ServicerContext[Any, Any]


class WorkerPoolServicer(WorkerPoolServiceServicer):
    """Serves `roadstead.job.v1.WorkerPoolService`."""

    def __init__(self, ports: EnginePorts) -> None:
        """Takes the engine's ports."""
        self._ports = ports

    async def ListWorkerPools(self, request: pb.ListWorkerPoolsRequest, context: Context) -> pb.ListWorkerPoolsResponse:
        return pb.ListWorkerPoolsResponse(pools=map(from_pool, await list_pools(self._ports)))

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        return pb.ListWorkersResponse(workers=map(from_place, await list_places(self._ports, request.pool_id)))
