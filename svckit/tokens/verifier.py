"""Verifies tokens with the keys of the trust bundle."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

import jwt

from svckit.errors import Unauthenticated
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE, Claims, ClaimsError, RegistryToken
from svckit.tokens.revocation import Revocations
from svckit.tokens.signer import ALGORITHM
from svckit.trust import TrustBundle, TrustedKey

MAXIMUM_TOKEN_BYTES = 16 * 1024
"""Longer tokens are refused before they are parsed."""

C = TypeVar("C", bound=Claims)


class TokenError(Unauthenticated):
    """The token is not valid. The text says why in general terms, and contains no part of the token."""


class TokenVerifier:
    """Verifies tokens of every kind, and each token string only once.

    Verifying a signature takes about 0.1 ms, and one `docker push` sends the same token dozens of times. So the hash of
    a verified token is remembered; the least recently used is dropped first. Only the fact that the string was signed
    is remembered, never what its bearer may do. Whether it has expired is judged at each call, because an upload goes
    on with a token that has expired since it began. When a key leaves the bundle, the tokens that were verified with it
    are no longer valid. Whether a registry token is revoked is judged at each call, too.

    Attributes:
        revocations: those that this process knows. Who is told them puts them there.
    """

    def __init__(
        self,
        trust: TrustBundle,
        clock: Callable[[], float] = time.time,
        *,
        registry_audience: str = DEFAULT_REGISTRY_AUDIENCE,
        remembered_tokens: int = 4096,
    ) -> None:
        """Builds the verifier.

        Args:
            trust: the trusted keys of all services.
            clock: returns seconds since the epoch.
            registry_audience: the audience that registry tokens must have.
            remembered_tokens: how many verified tokens are remembered.
        """
        self.revocations = Revocations()
        self._trust = trust
        self._clock = clock
        self._audiences: Mapping[type[Claims], str] = {RegistryToken: registry_audience}
        self._remembered_tokens = remembered_tokens
        self._verified: OrderedDict[tuple[type[Claims], bytes], tuple[str, Claims]] = OrderedDict()
        self._signatures = jwt.PyJWS(algorithms=[ALGORITHM])
        # The first part of a token is the same for all tokens of one kind and key, so it is parsed only once. That
        # helps with grants, which are new for each blob.
        self._kid_of_header: dict[tuple[type[Claims], str], str] = {}
        self.verified_signatures = 0

    def verify(self, token: str, kind: type[C], *, audience: str | None = None, expired_seconds: int = 0) -> C:
        """Returns the claims of a token, if it is valid and of this kind.

        Args:
            token: the JWT.
            kind: the kind that it must have.
            audience: the audience that it must have, if neither the kind nor a setting defines it.
            expired_seconds: how long ago the token may have expired.

        Raises:
            TokenError: the token is not valid; the reason is the kind's `refusal`.
        """
        expected_audience = kind.fixed_audience or self._audiences.get(kind) or audience
        claims = self._verify(token, kind, expired_seconds)
        if claims.audience != expected_audience:
            _refuse(kind, "is meant for another audience")
        if isinstance(claims, RegistryToken):
            self.check_not_revoked(claims)
        return claims

    def check_not_revoked(self, token: RegistryToken) -> None:
        """Checks a token again that was verified a while ago, when its stream began.

        Raises:
            TokenError: its subject has lost rights since.
        """
        if self.revocations.is_revoked(token):
            _refuse(RegistryToken, "is revoked: rights were taken away since it was given; ask for another one")

    def _verify(self, token: str, kind: type[C], expired_seconds: int) -> C:
        # A character takes at least one byte, so a token that is too long need not be encoded.
        if len(token) > MAXIMUM_TOKEN_BYTES or not token.isascii():
            _refuse(kind, "is malformed")
        now = self._clock()
        claims = self._signed_claims(token, kind, now)
        if claims.expire_time + kind.leeway_seconds + expired_seconds <= now:
            _refuse(kind, "has expired")
        return claims

    def _signed_claims(self, token: str, kind: type[C], now: float) -> C:
        """The claims of a token that is valid, or was valid before it expired."""
        memory_key = (kind, hashlib.sha256(token.encode("ascii")).digest())
        remembered = self._verified.get(memory_key)
        if remembered is not None:
            kid, known = remembered
            if self._trust.find(kid) is not None:
                self._verified.move_to_end(memory_key)
                return cast("C", known)
            del self._verified[memory_key]
        key, claims = self._verify_uncached(token, kind, now)
        self._verified[memory_key] = (key.kid, claims)
        while len(self._verified) > self._remembered_tokens:
            self._verified.popitem(last=False)
        return claims

    def _verify_uncached(self, token: str, kind: type[C], now: float) -> tuple[TrustedKey, C]:
        header = kind, token.partition(".")[0]
        known_kid = self._kid_of_header.get(header)
        key = self._trusted(known_kid or self._kid_in(token, kind), kind)
        try:
            # The algorithm is fixed and never taken from the header. So the algorithm "none", and HS256 with a public
            # key as secret, are not accepted.
            payload = self._signatures.decode(token, key=key.public_key, algorithms=[ALGORITHM])
        except (jwt.PyJWTError, ValueError):
            _refuse(kind, "has a wrong signature")
        self.verified_signatures += 1
        try:
            claims = kind.parse(_json_object(payload))
        except ClaimsError as error:
            _refuse(kind, f"is incomplete: {error}")
        if claims.issuer != key.service:
            _refuse(kind, "was signed by another service than it says")
        if max(claims.not_before_time, claims.issued_time) > now + kind.leeway_seconds:
            _refuse(kind, "is not valid yet")
        if known_kid is None:
            # Stored only after verification: otherwise anybody could make this mapping grow without limit.
            self._kid_of_header[header] = key.kid
        return key, claims

    def _kid_in(self, token: str, kind: type[Claims]) -> str:
        """The name of the key in a token's header. The header is checked for this kind first."""
        try:
            header: Mapping[str, Any] = self._signatures.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            _refuse(kind, "is malformed")
        if header.get("alg") != ALGORITHM:
            _refuse(kind, "has a wrong algorithm")
        if header.get("typ") != kind.typ:
            _refuse(kind, "is of another kind")
        # No extension of the header is supported, so a token that demands one is refused (RFC 7515 §4.1.11).
        if "crit" in header or header.get("b64") is not None:
            _refuse(kind, "is malformed")
        kid = header.get("kid")
        if not isinstance(kid, str):
            _refuse(kind, "is signed by an unknown key")
        return kid

    def _trusted(self, kid: str, kind: type[Claims]) -> TrustedKey:
        """The key with that name, if it may sign this kind."""
        key = self._trust.find(kid)
        if key is None:
            _refuse(kind, "is signed by an unknown key")
        if key.service not in kind.signers:
            _refuse(kind, "is signed by a service that may not sign its kind")
        return key


def _json_object(payload: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ClaimsError("the payload is not JSON") from error
    if not isinstance(value, dict):
        raise ClaimsError("the payload is not an object")
    return value


def _refuse(kind: type[Claims], why: str) -> NoReturn:
    name = kind.typ.removesuffix("+jwt")
    raise TokenError(kind.refusal, f"the {name} token {why}") from None
