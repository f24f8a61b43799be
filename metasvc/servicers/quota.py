"""Quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_quota, from_recount_step
from metasvc.domain.quota import check_upload_size, get_quota, list_quotas, parse_limit, set_quota
from metasvc.domain.quota_recount import recount_step
from roadstead.meta.v1 import quota_service_pb2 as pb
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceServicer
from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.convert import to_list_request
from svckit.errors import Denied, NotFound

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]

_QUOTA, _READ = "quota", "read"


class QuotaServicer(QuotaServiceServicer):
    """Serves `roadstead.meta.v1.QuotaService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def GetQuota(self, request: pb.GetQuotaRequest, context: Context) -> pb.GetQuotaResponse:
        # A quota has the id of its project, so access can be checked before the row is read.
        await _check_readable(request.id)
        quota = await get_quota(self._ports, project_id=request.id)
        return pb.GetQuotaResponse(quota=from_quota(quota))

    async def ListQuotas(self, request: pb.ListQuotasRequest, context: Context) -> pb.ListQuotasResponse:
        page = await list_quotas(
            self._ports,
            project_id=int(request.reference_id) if request.reference_id else None,
            request=to_list_request(request),
        )
        return pb.ListQuotasResponse(
            quotas=map(from_quota, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def UpdateQuota(self, request: pb.UpdateQuotaRequest, context: Context) -> pb.UpdateQuotaResponse:
        quota = await set_quota(
            self._ports,
            project_id=request.id,
            limit_bytes=parse_limit(request.hard.storage_bytes, names_count=request.hard.HasField("count")),
            etag=request.etag,
            origin=current_call().origin,
        )
        return pb.UpdateQuotaResponse(quota=from_quota(quota))

    async def CheckUploadSize(self, request: pb.CheckUploadSizeRequest, context: Context) -> pb.CheckUploadSizeResponse:
        allowed = await check_upload_size(self._ports, project_id=request.project_id, size_bytes=request.size_bytes)
        return pb.CheckUploadSizeResponse(allowed_size_bytes=allowed)

    async def RecountQuotas(self, request: pb.RecountQuotasRequest, context: Context) -> pb.RecountQuotasResponse:
        step = await recount_step(
            self._ports, project_id=request.project_id, dry_run=request.dry_run, page_token=request.page_token
        )
        return from_recount_step(step)


async def _check_readable(project_id: int) -> None:
    """Checks that the caller may read the quota, by a role in its project or, as in Harbor, on the system level.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED, INSUFFICIENT_SCOPE.
    """
    call = current_call()
    try:
        await call.check_project(ProjectKey(id=project_id), _QUOTA, _READ)
    except (Denied, NotFound) as refusal:
        try:
            await call.check_system(_QUOTA, _READ)
        except Denied:
            # As if nothing else had been asked: the refusal tells whether the caller may know of the project.
            raise refusal from None
