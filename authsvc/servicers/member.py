"""Memberships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_member, to_named_entity, to_requester
from authsvc.domain import member as domain
from roadstead.auth.v1 import member_service_pb2 as pb
from roadstead.auth.v1.member_service_pb2_grpc import MemberServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Requester

    Context = grpc.aio.ServicerContext[Any, Any]


class MemberServicer(MemberServiceServicer):
    """Serves `roadstead.auth.v1.MemberService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CreateMember(self, request: pb.CreateMemberRequest, context: Context) -> pb.CreateMemberResponse:
        member = await domain.create_member(
            self._ports,
            _requester(),
            _project_id(),
            request.role_id,
            to_named_entity(request),
            key=idempotency_key(request),
        )
        return pb.CreateMemberResponse(member=from_member(member))

    async def GetMember(self, request: pb.GetMemberRequest, context: Context) -> pb.GetMemberResponse:
        member = await domain.get_member(self._ports, _project_id(), request.member_id)
        return pb.GetMemberResponse(member=from_member(member))

    async def ListMembers(self, request: pb.ListMembersRequest, context: Context) -> pb.ListMembersResponse:
        page = await domain.list_members(self._ports, _project_id(), to_list_request(request), request.entity_name)
        return pb.ListMembersResponse(
            members=map(from_member, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def UpdateMember(self, request: pb.UpdateMemberRequest, context: Context) -> pb.UpdateMemberResponse:
        member = await domain.update_member(
            self._ports, _requester(), _project_id(), request.member_id, request.role_id, etag=request.etag
        )
        return pb.UpdateMemberResponse(member=from_member(member))

    async def DeleteMember(self, request: pb.DeleteMemberRequest, context: Context) -> pb.DeleteMemberResponse:
        await domain.delete_member(self._ports, _requester(), _project_id(), request.member_id)
        return pb.DeleteMemberResponse()


def _requester() -> Requester:
    return to_requester(current_call())


def _project_id() -> int:
    return authorized_project(current_call()).id
