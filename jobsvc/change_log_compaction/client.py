"""The change logs by way of the services that keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.change_log_compaction.domain import Compacted
from roadstead.auth.v1 import change_service_pb2 as auth_pb
from roadstead.auth.v1.change_service_pb2_grpc import ChangeServiceStub as AuthChangeServiceStub
from roadstead.meta.v1 import change_service_pb2 as meta_pb
from roadstead.meta.v1.change_service_pb2_grpc import ChangeServiceStub as MetaChangeServiceStub

if TYPE_CHECKING:
    from roadstead.auth.v1.change_service_pb2_grpc import ChangeServiceAsyncStub as AuthChangeServiceAsyncStub
    from roadstead.meta.v1.change_service_pb2_grpc import ChangeServiceAsyncStub as MetaChangeServiceAsyncStub
    from svckit.rpc import RpcChannel


class MetaLog:
    """`ports.CompactedLog` of metasvc."""

    service = "metasvc"

    def __init__(self, metasvc: RpcChannel) -> None:
        """Takes a channel to metasvc, on which the worker acts for itself."""
        self._stub: MetaChangeServiceAsyncStub = MetaChangeServiceStub(metasvc)

    async def compact(self) -> Compacted:
        """See the port."""
        return _compacted(await self._stub.CompactChanges(meta_pb.CompactChangesRequest()))


class AuthLog:
    """`ports.CompactedLog` of authsvc."""

    service = "authsvc"

    def __init__(self, authsvc: RpcChannel) -> None:
        """Takes a channel to authsvc, on which the worker acts for itself."""
        self._stub: AuthChangeServiceAsyncStub = AuthChangeServiceStub(authsvc)

    async def compact(self) -> Compacted:
        """See the port."""
        return _compacted(await self._stub.CompactChanges(auth_pb.CompactChangesRequest()))


def _compacted(answer: meta_pb.CompactChangesResponse | auth_pb.CompactChangesResponse) -> Compacted:
    return Compacted(deleted=answer.deleted_changes, compacted_to=answer.compacted_to, has_more=answer.has_more)
