"""Signs tokens with the key of one service."""

import dataclasses
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import jwt

from svckit.keys import KeyPair
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE, Claims, ServiceToken

ALGORITHM = "ES256"

C = TypeVar("C", bound=Claims)


@dataclass(frozen=True, slots=True)
class SignedToken(Generic[C]):
    """A token and what it says.

    Attributes:
        text: the JWT. A secret; `repr` hides it.
        claims: what it says, with the envelope filled in.
    """

    text: str = field(repr=False)
    claims: C


class TokenSigner:
    """Signs the kinds that its service may sign."""

    def __init__(
        self,
        service: str,
        keypair: KeyPair,
        clock: Callable[[], float] = time.time,
        *,
        registry_audience: str = DEFAULT_REGISTRY_AUDIENCE,
    ) -> None:
        """Builds the signer.

        Args:
            service: becomes the issuer.
            keypair: of that service.
            clock: seconds since the epoch.
            registry_audience: the audience of registry tokens: the name that the token service goes by.
        """
        self.service = service
        self._keypair = keypair
        self._clock = clock
        self._registry_audience = registry_audience

    def sign(self, claims: C, *, lifetime_seconds: int | None = None) -> SignedToken[C]:
        """Signs the claims; fills in the envelope.

        Args:
            claims: what to say. Its envelope, `subject` apart, is not read.
            lifetime_seconds: how long it lives; the kind's own unless said.

        Raises:
            ValueError: if this service may not sign that kind, or nobody says how long it lives.
        """
        if self.service not in claims.signers:
            raise ValueError(f"{self.service} does not sign {claims.typ}")
        lifetime = claims.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
        if lifetime is None or lifetime <= 0:
            raise ValueError(f"{claims.typ} needs a lifetime")
        now = int(self._clock())
        filled = dataclasses.replace(
            claims,
            issuer=self.service,
            audience=self._registry_audience if claims.fixed_audience is None else claims.fixed_audience,
            issued_time=now,
            not_before_time=now,
            expire_time=now + lifetime,
            token_id=uuid.uuid4().hex,
        )
        payload = {
            **filled.payload(),
            "sub": filled.subject,
            "iss": filled.issuer,
            "aud": filled.audience,
            "iat": filled.issued_time,
            "nbf": filled.not_before_time,
            "exp": filled.expire_time,
            "jti": filled.token_id,
        }
        text = jwt.encode(
            payload,
            self._keypair.private_key,
            algorithm=ALGORITHM,
            headers={"typ": claims.typ, "kid": self._keypair.kid},
        )
        return SignedToken(text=text, claims=filled)


class ServiceTokenSource:
    """Gives a service token that is good for a minute at least, and signs a new one only when it must."""

    RENEW_BEFORE_SECONDS = 60

    def __init__(self, signer: TokenSigner, clock: Callable[[], float] = time.time) -> None:
        """Builds the source.

        Args:
            signer: of the service that calls.
            clock: seconds since the epoch.
        """
        self._signer = signer
        self._clock = clock
        self._current: SignedToken[ServiceToken] | None = None

    def current(self) -> str:
        """The token to send as `x-roadstead-service`."""
        held = self._current
        if held is None or held.claims.expire_time - self._clock() < self.RENEW_BEFORE_SECONDS:
            held = self._signer.sign(ServiceToken(subject=f"service:{self._signer.service}"))
            self._current = held
        return held.text
