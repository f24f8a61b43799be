"""The recount by way of metasvc, which keeps the quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.quota_recount.domain import Difference, Step
from roadstead.meta.v1.quota_service_pb2 import RecountQuotasRequest
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceStub

if TYPE_CHECKING:
    from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub
    from svckit.rpc import RpcChannel


class RemoteRecounter:
    """`ports.Recounter` over gRPC."""

    def __init__(self, metasvc: RpcChannel) -> None:
        """Takes a channel to metasvc, on which the worker acts for itself."""
        self._stub: QuotaServiceAsyncStub = QuotaServiceStub(metasvc)

    async def step(self, *, project_id: int, dry_run: bool, page_token: str) -> Step:
        """See the port."""
        answer = await self._stub.RecountQuotas(
            RecountQuotasRequest(project_id=project_id, dry_run=dry_run, page_token=page_token)
        )
        return Step(
            project_id=answer.project_id,
            project_name=answer.project_name,
            digests=answer.digest_count,
            differences=[
                Difference(
                    digest=each.digest,
                    old_count=each.old_count,
                    new_count=each.new_count,
                    old_bytes=each.old_size_bytes,
                    new_bytes=each.new_size_bytes,
                )
                for each in answer.differences
            ],
            old_used_bytes=answer.old_used_bytes,
            new_used_bytes=answer.new_used_bytes,
            is_project_done=answer.project_done,
            next_page_token=answer.next_page_token,
            remaining_projects=answer.remaining_project_count,
        )
