"""Judges tokens by the trust bundle."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

import jwt

from svckit.errors import Unauthenticated
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE, Claims, ClaimsError, RegistryToken
from svckit.tokens.signer import ALGORITHM
from svckit.trust import TrustBundle, TrustedKey

MAXIMUM_TOKEN_BYTES = 16 * 1024
"""Larger ones are refused before anything in them is read."""

C = TypeVar("C", bound=Claims)


class TokenError(Unauthenticated):
    """A token that does not count. The text says why in general terms, and never holds any of it."""


class TokenVerifier:
    """Verifies tokens of every kind, and each token string only once.

    A signature costs some 0.1 ms, and one `docker push` sends the same token dozens of times: what was verified is
    remembered by its hash until it expires, the least recently used going first. What is remembered is that the string
    was good, never what its bearer may do. A key that leaves the bundle takes with it what was verified by it.
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
            trust: whose key is whose.
            clock: seconds since the epoch.
            registry_audience: the audience that registry tokens must have.
            remembered_tokens: how many verified tokens are remembered.
        """
        self._trust = trust
        self._clock = clock
        self._audiences: Mapping[type[Claims], str] = {RegistryToken: registry_audience}
        self._remembered_tokens = remembered_tokens
        self._verified: OrderedDict[tuple[type[Claims], bytes], tuple[str, Claims]] = OrderedDict()
        self._signatures = jwt.PyJWS(algorithms=[ALGORITHM])
        # A token's first part is the same for all of one kind and key. It is read once: grants are new for each blob.
        self._kid_of_header: dict[tuple[type[Claims], str], str] = {}
        self.verified_signatures = 0

    def verify(self, token: str, kind: type[C], *, audience: str | None = None) -> C:
        """Says what a token says, if it is a good one of this kind.

        Args:
            token: the JWT.
            kind: which it must be.
            audience: for whom it must be meant, where neither the kind nor a setting says so.

        Raises:
            TokenError: if it is not; its reason is the kind's `refusal`.
        """
        meant_for = kind.fixed_audience or self._audiences.get(kind) or audience
        claims = self._verify(token, kind)
        if claims.audience != meant_for:
            _refuse(kind, "is meant for another audience")
        return claims

    def _verify(self, token: str, kind: type[C]) -> C:
        # A character takes a byte at least, so this spares the encoding of what is far too long.
        if len(token) > MAXIMUM_TOKEN_BYTES or not token.isascii():
            _refuse(kind, "is malformed")
        now = self._clock()
        memory_key = (kind, hashlib.sha256(token.encode("ascii")).digest())
        remembered = self._verified.get(memory_key)
        if remembered is not None:
            kid, known = remembered
            if now < known.expire_time + kind.leeway_seconds and self._trust.find(kid) is not None:
                self._verified.move_to_end(memory_key)
                return cast("C", known)
            del self._verified[memory_key]
        key, claims = self._judge(token, kind, now)
        self._verified[memory_key] = (key.kid, claims)
        while len(self._verified) > self._remembered_tokens:
            self._verified.popitem(last=False)
        return claims

    def _judge(self, token: str, kind: type[C], now: float) -> tuple[TrustedKey, C]:
        header = kind, token.partition(".")[0]
        known_kid = self._kid_of_header.get(header)
        key = self._trusted(known_kid or self._kid_in(token, kind), kind)
        try:
            # The algorithm is ours and not the header's: "none", or HS256 with a public key as secret, has no way in.
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
        if claims.expire_time + kind.leeway_seconds <= now:
            _refuse(kind, "has expired")
        if known_kid is None:
            # Only now: what anybody may send must not grow this.
            self._kid_of_header[header] = key.kid
        return key, claims

    def _kid_in(self, token: str, kind: type[Claims]) -> str:
        """The name of the key in a token's header, once the header is what this kind must have."""
        try:
            header: Mapping[str, Any] = self._signatures.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            _refuse(kind, "is malformed")
        if header.get("alg") != ALGORITHM:
            _refuse(kind, "has a wrong algorithm")
        if header.get("typ") != kind.typ:
            _refuse(kind, "is of another kind")
        # Nothing that must be understood (RFC 7515 §4.1.11) is understood here.
        if "crit" in header or header.get("b64") is not None:
            _refuse(kind, "is malformed")
        kid = header.get("kid")
        if not isinstance(kid, str):
            _refuse(kind, "is signed by an unknown key")
        return kid

    def _trusted(self, kid: str, kind: type[Claims]) -> TrustedKey:
        """The key of that name, if it may sign this kind."""
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
        raise ClaimsError("the payload is no JSON") from error
    if not isinstance(value, dict):
        raise ClaimsError("the payload is no object")
    return value


def _refuse(kind: type[Claims], why: str) -> NoReturn:
    name = kind.typ.removesuffix("+jwt")
    raise TokenError(kind.refusal, f"the {name} token {why}") from None
