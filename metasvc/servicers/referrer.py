"""What refers to a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_referrer
from metasvc.domain.referrer import MAX_PAGE_SIZE, list_referrers
from roadstead.meta.v1 import referrer_service_pb2 as pb
from roadstead.meta.v1.referrer_service_pb2_grpc import ReferrerServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_digest, to_repository_name
from svckit.paging import PageToken, clamp_page_size, query_fingerprint

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class ReferrerServicer(ReferrerServiceServicer):
    """Serves `roadstead.meta.v1.ReferrerService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes what the domain needs."""
        self._ports = ports

    async def ListReferrers(self, request: pb.ListReferrersRequest, context: Context) -> pb.ListReferrersResponse:
        repository = str(to_repository_name(request.repository))
        subject = str(to_digest(request.digest))
        query = query_fingerprint("referrers", repository, subject, request.artifact_type)
        after = 0
        if request.page_token:
            (value,) = PageToken.decode(request.page_token, query, [int]).values
            after = value if isinstance(value, int) else 0
        found, next_after = await list_referrers(
            self._ports,
            project_id=authorized_project(current_call()).id,
            repository=repository,
            subject=subject,
            artifact_type=request.artifact_type,
            after=after,
            page_size=clamp_page_size(request.page_size, MAX_PAGE_SIZE, MAX_PAGE_SIZE),
        )
        return pb.ListReferrersResponse(
            referrers=map(from_referrer, found),
            next_page_token=PageToken((next_after,)).encode(query) if next_after else "",
        )
