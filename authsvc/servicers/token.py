"""Tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_access, from_key, from_seconds, identity_of, to_credentials, to_login
from authsvc.domain import token as domain
from roadstead.auth.v1 import token_service_pb2 as pb
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceServicer
from svckit.access.call import current_call
from svckit.errors import FieldViolation, Invalid
from svckit.tokens.claims import SERVICES

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.servicers.counters import Counters
    from svckit.trust import TrustBundle

    Context = grpc.aio.ServicerContext[Any, Any]


def check_token_service(named: str, own: str) -> None:
    """Checks that a request is for this token service, if it names one.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if named not in ("", own):
        raise Invalid(
            message=f"this is the token service {own}",
            violations=[FieldViolation("service", "is another token service")],
        )


class TokenServicer(TokenServiceServicer):
    """Serves `roadstead.auth.v1.TokenService`."""

    def __init__(self, ports: Ports, trust: TrustBundle, counters: Counters, *, token_service: str) -> None:
        """Takes the domain's ports, the keys to publish, the counters, and the name of the token service."""
        self._ports = ports
        self._trust = trust
        self._counters = counters
        self._token_service = token_service

    async def CreateRegistryToken(
        self, request: pb.CreateRegistryTokenRequest, context: Context
    ) -> pb.CreateRegistryTokenResponse:
        check_token_service(request.service, self._token_service)
        call = current_call()
        signed = await domain.create_registry_token(
            self._ports,
            to_login(request),
            identity_of(call.principal),
            domain.parse_scopes(request.scopes),
            call.client_address,
        )
        self._counters.token("registry")
        return pb.CreateRegistryTokenResponse(
            token=signed.text,
            expires_in_seconds=signed.claims.expire_time - signed.claims.issued_time,
            issue_time=from_seconds(signed.claims.issued_time),
            access=map(from_access, signed.claims.access),
        )

    async def CreateIdentityToken(
        self, request: pb.CreateIdentityTokenRequest, context: Context
    ) -> pb.CreateIdentityTokenResponse:
        signed = await domain.create_identity_token(
            self._ports,
            to_credentials(request.credentials),
            current_call().client_address,
        )
        self._counters.token("identity")
        return pb.CreateIdentityTokenResponse(
            token=signed.text,
            expires_in_seconds=self._ports.rules.identity_token_seconds,
            issue_time=from_seconds(signed.claims.issued_time),
        )

    async def ListPublicKeys(self, request: pb.ListPublicKeysRequest, context: Context) -> pb.ListPublicKeysResponse:
        keys = [key for service in sorted(SERVICES) for key in self._trust.keys_of(service)]
        return pb.ListPublicKeysResponse(keys=map(from_key, keys))
