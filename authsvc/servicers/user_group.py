"""User groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import (
    from_found_group,
    from_group,
    from_group_member,
    known_identity,
    to_new_group,
    to_requester,
)
from authsvc.domain import user_group as domain
from authsvc.domain import user_group_member
from roadstead.auth.v1 import user_group_service_pb2 as pb
from roadstead.auth.v1.user_group_service_pb2_grpc import UserGroupServiceServicer
from svckit.access.call import current_call
from svckit.convert import to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Requester

    Context = grpc.aio.ServicerContext[Any, Any]


class UserGroupServicer(UserGroupServiceServicer):
    """Serves `roadstead.auth.v1.UserGroupService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CreateUserGroup(self, request: pb.CreateUserGroupRequest, context: Context) -> pb.CreateUserGroupResponse:
        group = await domain.create_user_group(
            self._ports, _requester(), to_new_group(request), key=idempotency_key(request)
        )
        return pb.CreateUserGroupResponse(user_group=from_group(group))

    async def GetUserGroup(self, request: pb.GetUserGroupRequest, context: Context) -> pb.GetUserGroupResponse:
        group = await domain.get_user_group(self._ports, request.group_id)
        return pb.GetUserGroupResponse(user_group=from_group(group))

    async def ListUserGroups(self, request: pb.ListUserGroupsRequest, context: Context) -> pb.ListUserGroupsResponse:
        page = await domain.list_user_groups(
            self._ports, to_list_request(request), name=request.group_name, ldap_group_dn=request.ldap_group_dn
        )
        return pb.ListUserGroupsResponse(
            user_groups=map(from_group, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def SearchUserGroups(
        self, request: pb.SearchUserGroupsRequest, context: Context
    ) -> pb.SearchUserGroupsResponse:
        identity = known_identity(current_call().principal)
        page = await domain.search_user_groups(self._ports, identity, to_list_request(request), request.group_name)
        return pb.SearchUserGroupsResponse(
            user_groups=map(from_found_group, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def UpdateUserGroup(self, request: pb.UpdateUserGroupRequest, context: Context) -> pb.UpdateUserGroupResponse:
        group = await domain.rename_user_group(
            self._ports,
            _requester(),
            request.group_id,
            request.group_name,
            group_type=request.group_type,
            ldap_group_dn=request.ldap_group_dn,
            etag=request.etag,
        )
        return pb.UpdateUserGroupResponse(user_group=from_group(group))

    async def DeleteUserGroup(self, request: pb.DeleteUserGroupRequest, context: Context) -> pb.DeleteUserGroupResponse:
        await domain.delete_user_group(self._ports, _requester(), request.group_id)
        return pb.DeleteUserGroupResponse()

    async def AddUserGroupMember(
        self, request: pb.AddUserGroupMemberRequest, context: Context
    ) -> pb.AddUserGroupMemberResponse:
        member = await user_group_member.add_group_member(
            self._ports, _requester(), request.group_id, user_id=request.user_id, username=request.username
        )
        return pb.AddUserGroupMemberResponse(member=from_group_member(member))

    async def ListUserGroupMembers(
        self, request: pb.ListUserGroupMembersRequest, context: Context
    ) -> pb.ListUserGroupMembersResponse:
        page = await user_group_member.list_group_members(self._ports, request.group_id, to_list_request(request))
        return pb.ListUserGroupMembersResponse(
            members=map(from_group_member, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def RemoveUserGroupMember(
        self, request: pb.RemoveUserGroupMemberRequest, context: Context
    ) -> pb.RemoveUserGroupMemberResponse:
        await user_group_member.remove_group_member(self._ports, _requester(), request.group_id, request.user_id)
        return pb.RemoveUserGroupMemberResponse()


def _requester() -> Requester:
    return to_requester(current_call())
