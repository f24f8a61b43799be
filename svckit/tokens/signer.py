"""Signs tokens with the key of one service."""

import dataclasses
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import jwt

from svckit.actor import Actor
from svckit.keys import KeyPair
from svckit.tokens.acting import ActingToken
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE, Claims, RegistryToken, ServiceToken

ALGORITHM = "ES256"

# What is sent must be good when it arrives, and as long as what it begins may take to be judged.
_RENEW_BEFORE_SECONDS = 60

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
        self._audiences: Mapping[type[Claims], str] = {RegistryToken: registry_audience}

    def sign(self, claims: C, *, lifetime_seconds: int | None = None, audience: str | None = None) -> SignedToken[C]:
        """Signs the claims; fills in the envelope.

        Args:
            claims: what to say. Its envelope, `subject` apart, is not read.
            lifetime_seconds: how long it lives; the kind's own unless said.
            audience: for whom it is meant, where neither the kind nor a setting says so.

        Raises:
            ValueError: if this service may not sign that kind, or nobody says how long it lives, or for whom it is.
        """
        if self.service not in claims.signers:
            raise ValueError(f"{self.service} does not sign {claims.typ}")
        lifetime = claims.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
        if lifetime is None or lifetime <= 0:
            raise ValueError(f"{claims.typ} needs a lifetime")
        meant_for = claims.fixed_audience or self._audiences.get(type(claims)) or audience
        if meant_for is None:
            raise ValueError(f"{claims.typ} needs an audience")
        now = int(self._clock())
        filled = dataclasses.replace(
            claims,
            issuer=self.service,
            audience=meant_for,
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
        if held is None or _ends_soon(held.claims, self._clock()):
            held = self._signer.sign(ServiceToken(subject=f"service:{self._signer.service}"))
            self._current = held
        return held.text


class ActingTokenSource:
    """Gives the tokens by which a service acts for itself at one other service; each is good for a minute at least.

    One is kept for each on whose behalf the service acts, so that a loop of calls costs one signature.
    """

    def __init__(
        self,
        signer: TokenSigner,
        audience: str,
        clock: Callable[[], float] = time.time,
        *,
        remembered_tokens: int = 256,
    ) -> None:
        """Builds the source.

        Args:
            signer: of the service that acts.
            audience: the service that is called.
            clock: seconds since the epoch.
            remembered_tokens: how many are kept; the least recently used goes first.

        Raises:
            ValueError: the signer is the gateway's, which never acts for itself.
        """
        if signer.service not in ActingToken.signers:
            raise ValueError(f"{signer.service} does not act for itself")
        self._signer = signer
        self._audience = audience
        self._clock = clock
        self._remembered_tokens = remembered_tokens
        self._tokens: OrderedDict[Actor | None, SignedToken[ActingToken]] = OrderedDict()

    def current(self, on_behalf_of: Actor | None) -> str:
        """The token to send as `x-roadstead-acting`; None for on behalf of nobody."""
        held = self._tokens.get(on_behalf_of)
        if held is None or _ends_soon(held.claims, self._clock()):
            claims = ActingToken(subject=f"service:{self._signer.service}", on_behalf_of=on_behalf_of)
            held = self._tokens[on_behalf_of] = self._signer.sign(claims, audience=self._audience)
            if len(self._tokens) > self._remembered_tokens:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(on_behalf_of)
        return held.text


def _ends_soon(claims: Claims, now: float) -> bool:
    return claims.expire_time - now < _RENEW_BEFORE_SECONDS
