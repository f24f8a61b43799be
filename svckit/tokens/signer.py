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

# A token must still be valid when it arrives and while the call is authorized.
_RENEW_BEFORE_SECONDS = 60

C = TypeVar("C", bound=Claims)


@dataclass(frozen=True, slots=True)
class SignedToken(Generic[C]):
    """A token and its claims.

    Attributes:
        text: the JWT. A secret; `repr` hides it.
        claims: the claims, with the envelope filled in.
    """

    text: str = field(repr=False)
    claims: C


class TokenSigner:
    """Signs the kinds of token that its service may sign. The key can be replaced while it is in use."""

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
            service: the name of the service; it becomes the issuer.
            keypair: the key pair of the service.
            clock: returns seconds since the epoch.
            registry_audience: the audience of registry tokens: the name of the token service.
        """
        self.service = service
        self._keypair = keypair
        self._clock = clock
        self._audiences: Mapping[type[Claims], str] = {RegistryToken: registry_audience}

    @property
    def kid(self) -> str:
        """The name of the key that signs now."""
        return self._keypair.kid

    def use(self, keypair: KeyPair) -> None:
        """Signs with another key from now on. Its public half must be in every trust bundle already."""
        self._keypair = keypair

    def sign(self, claims: C, *, lifetime_seconds: int | None = None, audience: str | None = None) -> SignedToken[C]:
        """Fills in the envelope and signs the claims.

        Args:
            claims: the claims to sign. Of the envelope, only `subject` is used.
            lifetime_seconds: how long the token is valid; None for the default of its kind.
            audience: the audience, if neither the kind nor a setting defines it.

        Raises:
            ValueError: this service may not sign that kind, the lifetime is missing or too long, or there is no
                audience.
        """
        if self.service not in claims.signers:
            raise ValueError(f"{self.service} does not sign {claims.typ}")
        lifetime = claims.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
        if lifetime is None or lifetime <= 0:
            raise ValueError(f"{claims.typ} needs a lifetime")
        if lifetime > claims.longest_lifetime_seconds:
            # After a rotation, the public key would be removed before the token has expired.
            raise ValueError(f"{claims.typ} is valid for {claims.longest_lifetime_seconds} s at most")
        chosen_audience = claims.fixed_audience or self._audiences.get(type(claims)) or audience
        if chosen_audience is None:
            raise ValueError(f"{claims.typ} needs an audience")
        now = int(self._clock())
        filled = dataclasses.replace(
            claims,
            issuer=self.service,
            audience=chosen_audience,
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
        keypair = self._keypair
        text = jwt.encode(
            payload,
            keypair.private_key,
            algorithm=ALGORITHM,
            headers={"typ": claims.typ, "kid": keypair.kid},
        )
        return SignedToken(text=text, claims=filled)


class ServiceTokenSource:
    """Returns a service token that is valid for at least one more minute. Signs a new one only when needed.

    It never returns a token of a key that was replaced: the old key may have been revoked.
    """

    def __init__(self, signer: TokenSigner, clock: Callable[[], float] = time.time) -> None:
        """Builds the source.

        Args:
            signer: the signer of the service that calls.
            clock: returns seconds since the epoch.
        """
        self._signer = signer
        self._clock = clock
        self._kid = signer.kid
        self._current: SignedToken[ServiceToken] | None = None

    def current(self) -> str:
        """The token to send as `x-roadstead-service`."""
        token = self._current if self._kid == self._signer.kid else None
        if token is None or _expires_soon(token.claims, self._clock()):
            token = self._signer.sign(ServiceToken(subject=f"service:{self._signer.service}"))
            self._kid, self._current = self._signer.kid, token
        return token.text


class ActingTokenSource:
    """Returns the tokens with which a service acts for itself at one other service.

    Each token is valid for at least one more minute, and signed with the present key. One token is kept for each actor
    on whose behalf the service acts, so that a loop of calls costs one signature.
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
            signer: the signer of the service that acts.
            audience: the service that is called.
            clock: returns seconds since the epoch.
            remembered_tokens: how many tokens are kept; the least recently used is dropped first.

        Raises:
            ValueError: the signer belongs to a service that never acts for itself, such as the gateway.
        """
        if signer.service not in ActingToken.signers:
            raise ValueError(f"{signer.service} does not act for itself")
        self._signer = signer
        self._audience = audience
        self._clock = clock
        self._remembered_tokens = remembered_tokens
        self._kid = signer.kid
        self._tokens: OrderedDict[Actor | None, SignedToken[ActingToken]] = OrderedDict()

    def current(self, on_behalf_of: Actor | None) -> str:
        """The token to send as `x-roadstead-acting`. `on_behalf_of` is None if the service acts on behalf of nobody."""
        if self._kid != self._signer.kid:
            self._kid = self._signer.kid
            self._tokens.clear()
        token = self._tokens.get(on_behalf_of)
        if token is None or _expires_soon(token.claims, self._clock()):
            claims = ActingToken(subject=f"service:{self._signer.service}", on_behalf_of=on_behalf_of)
            token = self._tokens[on_behalf_of] = self._signer.sign(claims, audience=self._audience)
            if len(self._tokens) > self._remembered_tokens:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(on_behalf_of)
        return token.text


def _expires_soon(claims: Claims, now: float) -> bool:
    return claims.expire_time - now < _RENEW_BEFORE_SECONDS
