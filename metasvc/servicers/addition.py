"""Additions of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.api.httpbody_pb2 import HttpBody

from metasvc.convert import to_repository_of
from metasvc.domain.addition import get_addition
from roadstead.meta.v1 import addition_service_pb2 as pb
from roadstead.meta.v1.addition_service_pb2_grpc import AdditionServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_reference

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]


class AdditionServicer(AdditionServiceServicer):
    """Serves `roadstead.meta.v1.AdditionService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def GetAddition(self, request: pb.GetAdditionRequest, context: Context) -> pb.GetAdditionResponse:
        project = authorized_project(current_call())
        addition = await get_addition(
            self._ports,
            project_id=project.id,
            repository=to_repository_of(project, request.repository_name),
            reference=to_reference(request.reference),
            name=request.addition,
        )
        return pb.GetAdditionResponse(content=HttpBody(content_type=addition.media_type, data=addition.content))
