"""Refresh tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_refresh_token, known_identity, to_credentials, to_requester
from authsvc.domain import refresh_token as domain
from authsvc.servicers.token import check_token_service
from roadstead.auth.v1 import refresh_token_service_pb2 as pb
from roadstead.auth.v1.refresh_token_service_pb2_grpc import RefreshTokenServiceServicer
from svckit.access.call import current_call
from svckit.convert import from_time, to_list_request
from svckit.errors import Unauthenticated

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.servicers.counters import Counters

    Context = grpc.aio.ServicerContext[Any, Any]


class RefreshTokenServicer(RefreshTokenServiceServicer):
    """Serves `roadstead.auth.v1.RefreshTokenService`."""

    def __init__(self, ports: Ports, counters: Counters, *, token_service: str) -> None:
        """Takes the domain's ports, the counters, and the name of the token service."""
        self._ports = ports
        self._counters = counters
        self._token_service = token_service

    async def CreateRefreshToken(
        self, request: pb.CreateRefreshTokenRequest, context: Context
    ) -> pb.CreateRefreshTokenResponse:
        check_token_service(request.service, self._token_service)
        credentials = to_credentials(request.credentials)
        if credentials is None:
            raise Unauthenticated
        made = await domain.create_refresh_token(
            self._ports, credentials, request.client_id, current_call().client_address
        )
        self._counters.refresh_token("created")
        return pb.CreateRefreshTokenResponse(token_secret=made.text, expire_time=from_time(made.expire_time))

    async def ListUserRefreshTokens(
        self, request: pb.ListUserRefreshTokensRequest, context: Context
    ) -> pb.ListUserRefreshTokensResponse:
        identity = known_identity(current_call().principal)
        page = await domain.list_user_tokens(self._ports, identity, request.user_id, to_list_request(request))
        return pb.ListUserRefreshTokensResponse(
            refresh_tokens=map(from_refresh_token, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def RevokeUserRefreshToken(
        self, request: pb.RevokeUserRefreshTokenRequest, context: Context
    ) -> pb.RevokeUserRefreshTokenResponse:
        requester = to_requester(current_call())
        await domain.revoke_user_token(self._ports, requester, request.user_id, request.refresh_token_id)
        self._counters.refresh_token("revoked")
        return pb.RevokeUserRefreshTokenResponse()

    async def ListRobotRefreshTokens(
        self, request: pb.ListRobotRefreshTokensRequest, context: Context
    ) -> pb.ListRobotRefreshTokensResponse:
        page = await domain.list_robot_tokens(self._ports, request.robot_id, to_list_request(request))
        return pb.ListRobotRefreshTokensResponse(
            refresh_tokens=map(from_refresh_token, page.items),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def RevokeRobotRefreshToken(
        self, request: pb.RevokeRobotRefreshTokenRequest, context: Context
    ) -> pb.RevokeRobotRefreshTokenResponse:
        requester = to_requester(current_call())
        await domain.revoke_robot_token(self._ports, requester, request.robot_id, request.refresh_token_id)
        self._counters.refresh_token("revoked")
        return pb.RevokeRobotRefreshTokenResponse()
