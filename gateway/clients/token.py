"""Client of authsvc's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc.aio

from gateway.wire.credentials import Basic, RefreshToken
from roadstead.auth.v1 import refresh_token_pb2, refresh_token_service_pb2, token_pb2, token_service_pb2
from roadstead.auth.v1.refresh_token_service_pb2_grpc import RefreshTokenServiceStub
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
from svckit.errors import DomainError

if TYPE_CHECKING:
    from roadstead.auth.v1.refresh_token_service_pb2_grpc import RefreshTokenServiceAsyncStub
    from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceAsyncStub

# No refresh token is given: they are switched off, the account has too many, or the disk is full.
_NOT_GIVEN = frozenset({"PRECONDITION", "STORAGE_FULL"})


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that authsvc has made.

    Attributes:
        text: the token; `repr` hides it.
        expires_in_seconds: how long it lives.
        issue_time: when it was made.
        scopes: what a registry token grants, in Docker's form.
    """

    text: str = field(repr=False)
    expires_in_seconds: int
    issue_time: datetime
    scopes: tuple[str, ...] = ()


class TokenClient:
    """Asks authsvc for tokens."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to authsvc."""
        self._stub: TokenServiceAsyncStub = TokenServiceStub(channel)
        self._refresh_tokens: RefreshTokenServiceAsyncStub = RefreshTokenServiceStub(channel)

    async def create_registry_token(
        self,
        login: Basic | RefreshToken | None,
        *,
        service: str = "",
        scopes: Sequence[str] = (),
        account: str = "",
    ) -> IssuedToken:
        """Creates a token for /v2, for whoever logs in or else for the caller of the current call.

        Args:
            login: a name and its secret, or a refresh token; None for neither.
            service: the name of the token service in the client's request; empty for any.
            scopes: Docker's scopes, one each: "repository:library/nginx:pull,push".
            account: the `account` parameter of Docker's request.

        Raises:
            DomainError: UNAUTHORIZED for a wrong log-in; BAD_REQUEST for another service or malformed scopes;
                TOOMANYREQUESTS after too many wrong log-ins.
        """
        request = token_service_pb2.CreateRegistryTokenRequest(
            credentials=_credentials(login) if isinstance(login, Basic) else None,
            refresh_token=_presented(login) if isinstance(login, RefreshToken) else None,
            service=service,
            scopes=scopes,
            account=account,
        )
        answer = await self._stub.CreateRegistryToken(request)
        granted = tuple(f"{each.type}:{each.name}:{','.join(each.actions)}" for each in answer.access)
        return IssuedToken(answer.token, answer.expires_in_seconds, answer.issue_time.ToDatetime(UTC), granted)

    async def create_refresh_token(self, credentials: Basic, *, client_id: str, service: str = "") -> str:
        """Creates a refresh token for a client. Empty if none is given: then the client keeps its password.

        Raises:
            DomainError: UNAUTHORIZED for wrong credentials; BAD_REQUEST for another service or a malformed `client_id`;
                TOOMANYREQUESTS after too many wrong credentials.
        """
        request = refresh_token_service_pb2.CreateRefreshTokenRequest(
            credentials=_credentials(credentials), client_id=client_id, service=service
        )
        try:
            return (await self._refresh_tokens.CreateRefreshToken(request)).token_secret
        except DomainError as error:
            if error.reason in _NOT_GIVEN:
                return ""
            raise

    async def create_identity_token(self, credentials: Basic) -> IssuedToken:
        """Creates a token for /api/v2.0. It says who the caller is.

        Raises:
            DomainError: UNAUTHORIZED for wrong credentials, TOOMANYREQUESTS after too many.
        """
        request = token_service_pb2.CreateIdentityTokenRequest(credentials=_credentials(credentials))
        answer = await self._stub.CreateIdentityToken(request)
        return IssuedToken(answer.token, answer.expires_in_seconds, answer.issue_time.ToDatetime(UTC))


def _credentials(basic: Basic) -> token_pb2.Credentials:
    password = token_pb2.Credentials.Password(username=basic.username, secret=basic.secret)
    return token_pb2.Credentials(password=password)


def _presented(refresh: RefreshToken) -> refresh_token_pb2.PresentedRefreshToken:
    return refresh_token_pb2.PresentedRefreshToken(token_secret=refresh.token, client_id=refresh.client_id)
