"""The system's list of accepted vulnerabilities, and how messages hold such lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_allowlist, known_identity, to_allowlist, to_requester
from authsvc.domain.cve_allowlist import SYSTEM
from authsvc.domain.cve_allowlist_change import get_system_allowlist, update_system_allowlist
from roadstead.auth.v1 import cve_allowlist_service_pb2 as pb
from roadstead.auth.v1.cve_allowlist_service_pb2_grpc import CveAllowlistServiceServicer
from svckit.access.call import current_call

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class CveAllowlistServicer(CveAllowlistServiceServicer):
    """Serves `roadstead.auth.v1.CveAllowlistService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def GetSystemCveAllowlist(
        self, request: pb.GetSystemCveAllowlistRequest, context: Context
    ) -> pb.GetSystemCveAllowlistResponse:
        allowlist = await get_system_allowlist(self._ports, known_identity(current_call().principal))
        return pb.GetSystemCveAllowlistResponse(allowlist=from_allowlist(SYSTEM, allowlist))

    async def UpdateSystemCveAllowlist(
        self, request: pb.UpdateSystemCveAllowlistRequest, context: Context
    ) -> pb.UpdateSystemCveAllowlistResponse:
        wanted = to_allowlist(request.allowlist, SYSTEM)
        allowlist = await update_system_allowlist(self._ports, to_requester(current_call()), wanted)
        return pb.UpdateSystemCveAllowlistResponse(allowlist=from_allowlist(SYSTEM, allowlist))
