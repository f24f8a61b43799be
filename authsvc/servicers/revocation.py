"""Revocations of registry tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.domain import revocation as domain
from roadstead.auth.v1 import revocation_service_pb2 as pb
from roadstead.auth.v1.revocation_service_pb2_grpc import RevocationServiceServicer
from svckit.changes.convert import from_position, to_position
from svckit.revocation.convert import from_revocation

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class RevocationServicer(RevocationServiceServicer):
    """Serves `roadstead.auth.v1.RevocationService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def ListRevocations(self, request: pb.ListRevocationsRequest, context: Context) -> pb.ListRevocationsResponse:
        after = to_position(request.position) if request.HasField("position") else None
        page = await domain.list_revocations(self._ports, after)
        return pb.ListRevocationsResponse(
            revocations=map(from_revocation, page.revocations),
            position=from_position(page.position),
            begins_anew=page.begins_anew,
            has_more=page.has_more,
        )
