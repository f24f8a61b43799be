"""Users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_found_user, from_held, from_user, known_identity, to_requester
from authsvc.domain import access as access_domain
from authsvc.domain import user as domain
from authsvc.domain import user_change
from roadstead.auth.v1 import user_service_pb2 as pb
from roadstead.auth.v1.user_service_pb2_grpc import UserServiceServicer
from svckit.access.call import current_call
from svckit.convert import to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Identity, Requester

    Context = grpc.aio.ServicerContext[Any, Any]


class UserServicer(UserServiceServicer):
    """Serves `roadstead.auth.v1.UserService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        new = domain.NewUser(
            username=request.username,
            password=request.password,
            email=request.email,
            realname=request.realname,
            comment=request.comment,
        )
        user = await user_change.create_user(self._ports, _requester(), new, key=idempotency_key(request))
        return pb.CreateUserResponse(user=from_user(user))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        user = await domain.get_user(self._ports, _identity(), request.user_id)
        return pb.GetUserResponse(user=from_user(user))

    async def GetCurrentUser(self, request: pb.GetCurrentUserRequest, context: Context) -> pb.GetCurrentUserResponse:
        user = await domain.get_current(self._ports, _identity())
        return pb.GetCurrentUserResponse(user=from_user(user))

    async def ListCurrentUserPermissions(
        self, request: pb.ListCurrentUserPermissionsRequest, context: Context
    ) -> pb.ListCurrentUserPermissionsResponse:
        held = await access_domain.list_permissions(self._ports, _identity(), request.scope, relative=request.relative)
        return pb.ListCurrentUserPermissionsResponse(permissions=map(from_held, held))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        page = await domain.list_users(
            self._ports, to_list_request(request), username=request.username, email=request.email
        )
        return pb.ListUsersResponse(
            users=map(from_user, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def SearchUsers(self, request: pb.SearchUsersRequest, context: Context) -> pb.SearchUsersResponse:
        page = await domain.search_users(self._ports, _identity(), to_list_request(request), request.username)
        return pb.SearchUsersResponse(
            users=map(from_found_user, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        change = domain.ProfileChange(
            email=request.email if request.HasField("email") else None,
            realname=request.realname if request.HasField("realname") else None,
            comment=request.comment if request.HasField("comment") else None,
            etag=request.etag,
        )
        user = await user_change.update_user(self._ports, _requester(), request.user_id, change)
        return pb.UpdateUserResponse(user=from_user(user))

    async def SetUserDisabled(self, request: pb.SetUserDisabledRequest, context: Context) -> pb.SetUserDisabledResponse:
        user = await user_change.set_disabled(
            self._ports, _requester(), request.user_id, disabled=request.disabled, etag=request.etag
        )
        return pb.SetUserDisabledResponse(user=from_user(user))

    async def SetUserAdministrator(
        self, request: pb.SetUserAdministratorRequest, context: Context
    ) -> pb.SetUserAdministratorResponse:
        user = await user_change.set_administrator(
            self._ports, _requester(), request.user_id, administrator=request.administrator, etag=request.etag
        )
        return pb.SetUserAdministratorResponse(user=from_user(user))

    async def ChangeUserPassword(
        self, request: pb.ChangeUserPasswordRequest, context: Context
    ) -> pb.ChangeUserPasswordResponse:
        await user_change.change_password(
            self._ports, _requester(), request.user_id, request.old_password, request.new_password
        )
        return pb.ChangeUserPasswordResponse()

    async def SetUserCliSecret(
        self, request: pb.SetUserCliSecretRequest, context: Context
    ) -> pb.SetUserCliSecretResponse:
        await user_change.set_cli_secret(self._ports, _requester(), request.user_id)
        return pb.SetUserCliSecretResponse()

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        await user_change.delete_user(self._ports, _requester(), request.user_id)
        return pb.DeleteUserResponse()


def _identity() -> Identity:
    return known_identity(current_call().principal)


def _requester() -> Requester:
    return to_requester(current_call())
