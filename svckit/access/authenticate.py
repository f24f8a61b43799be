"""Finds out who is calling, from the tokens of the call."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from svckit.access.principal import ANONYMOUS, Principal
from svckit.bounded_json import read_json
from svckit.errors import Unauthenticated
from svckit.tokens import ActingToken, IdentityToken, RegistryToken, ServiceToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svckit.tokens.verifier import TokenVerifier

CallerToken = type[RegistryToken] | type[IdentityToken]

BOTH_KINDS: Final[tuple[CallerToken, ...]] = (RegistryToken, IdentityToken)

_BEARER = "bearer"
_MAXIMUM_HEADER_CHARACTERS = 1024
_MOST_PRINCIPALS = 4096
_NOBODY: Final[tuple[None, Principal]] = (None, ANONYMOUS)


class Authenticator:
    """Turns the tokens in the metadata into a principal and a service's name."""

    def __init__(self, service: str, verifier: TokenVerifier, accepted: Sequence[CallerToken] = BOTH_KINDS) -> None:
        """Takes the service that is called, the verifier, and the kinds of token that callers may use."""
        self._service = service
        self._verifier = verifier
        self._accepted = {kind.typ: kind for kind in accepted}
        # The first part of a token is the same for all tokens of one kind and key, so it is parsed only once.
        self._kind_of_header: dict[str, CallerToken] = {}
        # By the identity of the claims: the verifier gives the same ones as long as it remembers a token.
        self._principals: dict[int, tuple[RegistryToken | IdentityToken, Principal]] = {}

    def principal(self, authorization: str, *, expired_seconds: int = 0) -> tuple[Principal, str]:
        """The principal of the token in an `authorization` value, and the token.

        Args:
            authorization: the value.
            expired_seconds: how long ago a registry token may have expired. An identity token must not have expired.

        Raises:
            DomainError: UNAUTHORIZED if the scheme is not Bearer, the token is not valid, or its kind is not accepted
                here.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != _BEARER or not token:
            raise Unauthenticated
        return self.bearer(token, expired_seconds=expired_seconds), token

    def bearer(self, token: str, *, expired_seconds: int = 0) -> Principal:
        """The principal of a token. As `principal`."""
        header = token.partition(".")[0]
        known = self._kind_of_header.get(header)
        kind = known or self._kind_in(header)
        claims = self._verifier.verify(token, kind, expired_seconds=expired_seconds if kind is RegistryToken else 0)
        if known is None:
            # Stored only after verification: otherwise anybody could make this mapping grow without limit.
            self._kind_of_header[header] = kind
        return self._principal_of(claims)

    def check_again(self, principal: Principal) -> None:
        """Checks that a principal's registry token was not revoked since its stream began.

        Raises:
            DomainError: UNAUTHORIZED.
        """
        if principal.registry is not None:
            self._verifier.check_not_revoked(principal.registry)

    def _principal_of(self, claims: RegistryToken | IdentityToken) -> Principal:
        known, principal = self._principals.get(id(claims), _NOBODY)
        # Claims that are kept here keep their identity, so no other claims can have it.
        if known is claims:
            return principal
        if isinstance(claims, RegistryToken):
            principal = Principal.of_registry(claims)
        else:
            principal = Principal.of_identity(claims)
        if len(self._principals) >= _MOST_PRINCIPALS:
            self._principals.clear()
        self._principals[id(claims)] = claims, principal
        return principal

    def service(self, token: str) -> str:
        """The service that a service token names.

        Raises:
            DomainError: UNAUTHORIZED.
        """
        return self._verifier.verify(token, ServiceToken).service

    def acting(self, token: str) -> Principal:
        """The service that acts for itself, from its acting token. The token must be for this service.

        Raises:
            DomainError: UNAUTHORIZED.
        """
        return Principal.of_acting(self._verifier.verify(token, ActingToken, audience=self._service))

    def _kind_in(self, header: str) -> CallerToken:
        """The kind that a JWT header claims. The verifier checks it later."""
        try:
            if len(header) > _MAXIMUM_HEADER_CHARACTERS:
                raise Unauthenticated
            claimed = read_json(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["typ"]
            return self._accepted[claimed]
        except (ValueError, TypeError, KeyError) as error:
            raise Unauthenticated from error
