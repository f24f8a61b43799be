"""Referrers of manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_referrer
from metasvc.domain.referrer import list_referrers
from roadstead.meta.v1 import referrer_service_pb2 as pb
from roadstead.meta.v1.referrer_service_pb2_grpc import ReferrerServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_digest, to_list_request, to_repository_name

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class ReferrerServicer(ReferrerServiceServicer):
    """Serves `roadstead.meta.v1.ReferrerService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def ListReferrers(self, request: pb.ListReferrersRequest, context: Context) -> pb.ListReferrersResponse:
        page = await list_referrers(
            self._ports,
            project_id=authorized_project(current_call()).id,
            repository=str(to_repository_name(request.repository)),
            subject=str(to_digest(request.digest)),
            artifact_type=request.artifact_type,
            request=to_list_request(request),
        )
        return pb.ListReferrersResponse(
            referrers=map(from_referrer, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )
