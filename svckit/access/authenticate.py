"""Who is calling, by the tokens that came with the call."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from svckit.access.principal import Principal
from svckit.errors import Unauthenticated
from svckit.tokens import ActingToken, IdentityToken, RegistryToken, ServiceToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svckit.tokens.verifier import TokenVerifier

CallerToken = type[RegistryToken] | type[IdentityToken]

BOTH_KINDS: Final[tuple[CallerToken, ...]] = (RegistryToken, IdentityToken)

_BEARER = "bearer"
_MAXIMUM_HEADER_CHARACTERS = 1024


class Authenticator:
    """Turns the tokens in the metadata into a principal and a service's name."""

    def __init__(self, service: str, verifier: TokenVerifier, accepted: Sequence[CallerToken] = BOTH_KINDS) -> None:
        """Takes the service that is called, the verifier, and the kinds of token that its callers may come with."""
        self._service = service
        self._verifier = verifier
        self._accepted = {kind.typ: kind for kind in accepted}
        # The first part of a token is the same for all of one kind and key, and is read once for each of them.
        self._kind_of_header: dict[str, CallerToken] = {}

    def principal(self, authorization: str) -> tuple[Principal, str]:
        """Whom the token in an `authorization` value names, and the token.

        Raises:
            DomainError: UNAUTHORIZED, for another scheme than Bearer and for a token that is not one of ours, or not
                valid, or not of a kind that is taken here.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != _BEARER or not token:
            raise Unauthenticated
        header = token.partition(".")[0]
        known = self._kind_of_header.get(header)
        kind = known or self._kind_in(header)
        claims = self._verifier.verify(token, kind)
        if known is None:
            # Only now: what anybody may send must not grow this.
            self._kind_of_header[header] = kind
        if isinstance(claims, RegistryToken):
            return Principal.of_registry(claims), token
        return Principal.of_identity(claims), token

    def service(self, token: str) -> str:
        """The service that a service token names.

        Raises:
            DomainError: UNAUTHORIZED.
        """
        return self._verifier.verify(token, ServiceToken).service

    def acting(self, token: str) -> Principal:
        """The service that acts for itself by an acting token, which must be meant for this service.

        Raises:
            DomainError: UNAUTHORIZED.
        """
        return Principal.of_acting(self._verifier.verify(token, ActingToken, audience=self._service))

    def _kind_in(self, header: str) -> CallerToken:
        """The kind that a JWT header claims; the verifier holds the token against it."""
        try:
            if len(header) > _MAXIMUM_HEADER_CHARACTERS:
                raise Unauthenticated
            claimed = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["typ"]
            return self._accepted[claimed]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unauthenticated from error
