"""Labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_label
from metasvc.domain import label as domain
from metasvc.domain.label_model import LabelScope, NewLabel
from roadstead.meta.v1 import label_service_pb2 as pb
from roadstead.meta.v1.label_service_pb2_grpc import LabelServiceServicer
from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.convert import to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports

    Context = grpc.aio.ServicerContext[Any, Any]

_LABEL = "label"


class CallLabelAccess:
    """`domain.ports.LabelAccess` for the current call. It makes the checks that an access rule `row` asks for."""

    async def check_identity(self) -> None:
        """See the port."""
        await current_call().check_identity()

    async def check_project(self, project_id: int, action: str) -> None:
        """See the port."""
        await current_call().check_project(ProjectKey(id=project_id), _LABEL, action)

    async def check_system(self, action: str) -> None:
        """See the port."""
        await current_call().check_system(_LABEL, action)


class LabelServicer(LabelServiceServicer):
    """Serves `roadstead.meta.v1.LabelService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports
        self._access = CallLabelAccess()

    async def CreateLabel(self, request: pb.CreateLabelRequest, context: Context) -> pb.CreateLabelResponse:
        new = NewLabel(
            project_id=domain.owner_of(LabelScope(request.scope), request.project_id),
            name=request.name,
            description=request.description,
            color=request.color,
        )
        made = await domain.create_label(
            self._ports, self._access, new, current_call().origin, key=idempotency_key(request)
        )
        return pb.CreateLabelResponse(label=from_label(made))

    async def GetLabel(self, request: pb.GetLabelRequest, context: Context) -> pb.GetLabelResponse:
        label = await domain.get_label(self._ports, self._access, request.label_id)
        return pb.GetLabelResponse(label=from_label(label))

    async def ListLabels(self, request: pb.ListLabelsRequest, context: Context) -> pb.ListLabelsResponse:
        page = await domain.list_labels(
            self._ports,
            self._access,
            scope=LabelScope(request.scope),
            project_id=request.project_id,
            name=request.name,
            request=to_list_request(request),
        )
        return pb.ListLabelsResponse(
            labels=map(from_label, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def UpdateLabel(self, request: pb.UpdateLabelRequest, context: Context) -> pb.UpdateLabelResponse:
        change = domain.LabelChange(
            name=request.name if request.HasField("name") else None,
            description=request.description if request.HasField("description") else None,
            color=request.color if request.HasField("color") else None,
            etag=request.etag,
        )
        label = await domain.update_label(self._ports, self._access, request.label_id, change, current_call().origin)
        return pb.UpdateLabelResponse(label=from_label(label))

    async def DeleteLabel(self, request: pb.DeleteLabelRequest, context: Context) -> pb.DeleteLabelResponse:
        await domain.delete_label(self._ports, self._access, request.label_id, current_call().origin)
        return pb.DeleteLabelResponse()
