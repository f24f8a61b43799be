"""Tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_access, from_key, from_seconds, identity_of, to_credentials
from authsvc.domain import token as domain
from roadstead.auth.v1 import token_service_pb2 as pb
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceServicer
from svckit.access.call import current_call
from svckit.errors import FieldViolation, Invalid
from svckit.tokens.claims import SERVICES

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.login import Login
    from authsvc.domain.ports import Clock, Signer, Store
    from authsvc.servicers.counters import Counters
    from svckit.trust import TrustBundle

    Context = grpc.aio.ServicerContext[Any, Any]


class TokenServicer(TokenServiceServicer):
    """Serves `roadstead.auth.v1.TokenService`."""

    def __init__(
        self,
        store: Store,
        login: Login,
        signer: Signer,
        trust: TrustBundle,
        clock: Clock,
        counters: Counters,
        *,
        token_service: str,
        registry_token_seconds: int,
        identity_token_seconds: int,
    ) -> None:
        """Takes what the domain needs, and the name of the token service."""
        self._store = store
        self._login = login
        self._signer = signer
        self._trust = trust
        self._clock = clock
        self._counters = counters
        self._token_service = token_service
        self._registry_token_seconds = registry_token_seconds
        self._identity_token_seconds = identity_token_seconds

    async def CreateRegistryToken(
        self, request: pb.CreateRegistryTokenRequest, context: Context
    ) -> pb.CreateRegistryTokenResponse:
        if request.service not in ("", self._token_service):
            raise Invalid(
                message=f"this is the token service {self._token_service}",
                violations=[FieldViolation("service", "is another token service")],
            )
        call = current_call()
        signed = await domain.create_registry_token(
            self._store,
            self._login,
            self._signer,
            self._clock,
            to_credentials(request.credentials),
            identity_of(call.principal),
            domain.parse_scopes(request.scopes),
            call.client_address,
            self._registry_token_seconds,
        )
        self._counters.token("registry")
        return pb.CreateRegistryTokenResponse(
            token=signed.text,
            expires_in_seconds=self._registry_token_seconds,
            issue_time=from_seconds(signed.claims.issued_time),
            access=map(from_access, signed.claims.access),
        )

    async def CreateIdentityToken(
        self, request: pb.CreateIdentityTokenRequest, context: Context
    ) -> pb.CreateIdentityTokenResponse:
        signed = await domain.create_identity_token(
            self._login,
            self._signer,
            to_credentials(request.credentials),
            current_call().client_address,
            self._identity_token_seconds,
        )
        self._counters.token("identity")
        return pb.CreateIdentityTokenResponse(
            token=signed.text,
            expires_in_seconds=self._identity_token_seconds,
            issue_time=from_seconds(signed.claims.issued_time),
        )

    async def ListPublicKeys(self, request: pb.ListPublicKeysRequest, context: Context) -> pb.ListPublicKeysResponse:
        keys = [key for service in sorted(SERVICES) for key in self._trust.keys_of(service)]
        return pb.ListPublicKeysResponse(keys=map(from_key, keys))
