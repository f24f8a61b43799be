"""The public keys of one service: the content of its file in the trust bundle, a JWKS (RFC 7517).

In a rotation a key is first *next*: published, so that everybody knows it before it signs. Then it *signs*. When the
following key has taken its place, it is *retired*: it verifies until the last token that it signed has expired. The
times are members of the JWK, with the names and meanings of OpenID Federation 1.0: `iat`, `nbf`, `exp`. Other readers
of the file may ignore them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Any, Literal, Self

from cryptography.hazmat.primitives.asymmetric import ec

from svckit.keys import KeyPair, thumbprint

KeyState = Literal["next", "signs", "verifies", "ended", "revoked"]
"""What a key is for. "ended": it is still in the file, but no longer trusted."""


class RevokedKeyError(ValueError):
    """A service must not publish this key again: it was revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKey:
    """A public key in the file.

    All times are in seconds since the epoch. A key from before there were rotations has none; it signs.

    Attributes:
        kid: its RFC 7638 thumbprint.
        public_key: verifies.
        jwk: its members in the file, without the times.
        made_time: when it was published (`iat`).
        signing_time: since when it signs (`nbf`); None if it has not begun.
        end_time: from then on it is not trusted (`exp`); None as long as nothing has taken its place.
    """

    kid: str
    public_key: ec.EllipticCurvePublicKey
    jwk: Mapping[str, Any]
    made_time: int | None = None
    signing_time: int | None = None
    end_time: int | None = None

    @classmethod
    def of(cls, keypair: KeyPair, now: int) -> Self:
        """The public half of a key pair, published now."""
        return cls(kid=keypair.kid, public_key=keypair.public_key, jwk=keypair.to_jwk(), made_time=now)

    @classmethod
    def parse(cls, jwk: Mapping[str, Any]) -> Self:
        """Reads a JWK.

        Raises:
            ValueError: it is not a public key of P-256, its kid is not its thumbprint, or a time is not a number.
        """
        public_key = _public_key(jwk)
        # Without this check, a kid could be the same as that of another service's key.
        kid = thumbprint(public_key)
        if jwk.get("kid") != kid:
            raise ValueError("a kid is not the thumbprint of its key")
        return cls(
            kid=kid,
            public_key=public_key,
            jwk={name: value for name, value in jwk.items() if name not in ("iat", "nbf", "exp")},
            made_time=_time(jwk, "iat"),
            signing_time=_time(jwk, "nbf"),
            end_time=_time(jwk, "exp"),
        )

    def to_jwk(self) -> dict[str, Any]:
        """The JWK with its times."""
        times = {"iat": self.made_time, "nbf": self.signing_time, "exp": self.end_time}
        return {**self.jwk, **{name: time for name, time in times.items() if time is not None}}

    @property
    def is_next(self) -> bool:
        """Whether it has never signed."""
        return self.made_time is not None and self.signing_time is None

    def has_ended(self, now: float) -> bool:
        """Whether it is no longer trusted."""
        return self.end_time is not None and self.end_time <= now


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one service. It cannot be changed: each method returns another one.

    Attributes:
        keys: by kid.
        revoked: when each revoked key was revoked, by kid. They are kept, so that no service publishes such a key
            again: a replica may still have it, or somebody may restore it from a backup.
    """

    keys: Mapping[str, PublishedKey] = field(default_factory=dict)
    revoked: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads the content of a file.

        Raises:
            ValueError: it is not a JWKS of P-256 keys.
        """
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("not an object")
        revoked = {}
        for entry in _objects(document.get("revoked", []), "revoked"):
            kid, time = entry.get("kid"), _time(entry, "revoked_at")
            if not isinstance(kid, str) or time is None:
                raise ValueError("an entry of revoked is incomplete")
            revoked[kid] = time
        keys = (PublishedKey.parse(jwk) for jwk in _objects(document.get("keys"), "keys"))
        # A program that does not know `revoked` may have published such a key again.
        return cls({key.kid: key for key in keys if key.kid not in revoked}, revoked)

    def render(self) -> bytes:
        """The content of the file."""
        document: dict[str, Any] = {"keys": [key.to_jwk() for key in self.keys.values()]}
        if self.revoked:
            document["revoked"] = [{"kid": kid, "revoked_at": time} for kid, time in self.revoked.items()]
        return (json.dumps(document, indent=2) + "\n").encode()

    def state(self, kid: str, now: float, *, signing: str | None = None) -> KeyState:
        """What a key is for.

        Args:
            kid: of one of the keys, or of a revoked one.
            now: in seconds since the epoch.
            signing: the key that signs, if somebody knows better than the file.
        """
        if kid in self.revoked:
            return "revoked"
        if kid == (signing or self.signing()):
            return "signs"
        key = self.keys[kid]
        if key.has_ended(now):
            return "ended"
        return "next" if key.is_next and key.end_time is None else "verifies"

    def signing(self) -> str | None:
        """The key that signs, as far as the file says: the last that began and has no end."""
        begun = [key for key in self.keys.values() if not key.is_next and key.end_time is None]
        return max(begun, key=_begin).kid if begun else None

    def newer_than(self, kid: str) -> PublishedKey | None:
        """A key that began to sign after this one and has no end. Then another key file is newer than that of `kid`."""
        own = self.keys.get(kid)
        for key in self.keys.values():
            if not key.is_next and key.end_time is None and (own is None or _begin(key) > _begin(own)):
                return key
        return None

    def with_next(self, keypair: KeyPair, now: int) -> Self:
        """Publishes a key that does not sign yet. Nothing changes if it is published already."""
        if keypair.kid in self.keys:
            return self
        return self._with(PublishedKey.of(keypair, now))

    def with_own(self, keypair: KeyPair, now: int) -> Self:
        """Publishes the key with which a service starts. The other keys stay as they are.

        A retired key has no end again, or the service would sign with a key that is soon not trusted. Which key is to
        be retired is known to whoever rotates, not to a replica that starts.

        Raises:
            RevokedKeyError: the key was revoked.
        """
        if keypair.kid in self.revoked:
            raise RevokedKeyError(f"the key {keypair.kid} was revoked")
        key = self.keys.get(keypair.kid)
        if key is None:
            return self._with(changed(PublishedKey.of(keypair, now), signing_time=now))
        return self._with(changed(key, signing_time=now if key.is_next else key.signing_time, end_time=None))

    def with_signing(self, kid: str, now: int, retired_end_time: int, *, next_kid: str | None = None) -> Self:
        """Says that this key signs from now on. All others get an end, if they have none, but for the next one.

        Raises:
            KeyError: the key is not published.
        """
        key = self.keys[kid]
        has_begun = not key.is_next and key.end_time is None
        keys = {
            other.kid: other
            if other.end_time is not None or other.kid == next_kid
            else changed(other, end_time=retired_end_time)
            for other in self.keys.values()
        }
        keys[kid] = changed(key, signing_time=key.signing_time if has_begun else now, end_time=None)
        return changed(self, keys=keys)

    def with_revoked(self, kid: str, now: int) -> Self:
        """Removes a key for good."""
        keys = {name: key for name, key in self.keys.items() if name != kid}
        return changed(self, keys=keys, revoked={**self.revoked, kid: self.revoked.get(kid, now)})

    def without_ended(self, now: float) -> Self:
        """Removes the keys that are no longer trusted."""
        return changed(self, keys={kid: key for kid, key in self.keys.items() if not key.has_ended(now)})

    def _with(self, key: PublishedKey) -> Self:
        return changed(self, keys={**self.keys, key.kid: key})


def _begin(key: PublishedKey) -> int:
    return key.signing_time or key.made_time or 0


def _public_key(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise ValueError("a key is not of P-256")
    x, y = jwk.get("x"), jwk.get("y")
    if not isinstance(x, str) or not isinstance(y, str):
        raise ValueError("a key lacks a coordinate")
    return ec.EllipticCurvePublicNumbers(_number(x), _number(y), ec.SECP256R1()).public_key()


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def _objects(value: object, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError(f'no list named "{name}"')
    return value


def _time(members: Mapping[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    # In Python, bool is a subclass of int; in JSON, `true` is not a number.
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} of a key is not a number of seconds")
    return value
