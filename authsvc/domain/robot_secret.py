"""Secrets of robots.

A secret that is made here is random and has 190 bits, so nobody can guess it and a fast keyed hash is safe. Without the
key, a stolen table cannot be compared with secrets found elsewhere. A secret that a person has chosen is hashed like a
password.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from typing import TYPE_CHECKING

from authsvc.domain.password import check_new_password

if TYPE_CHECKING:
    from authsvc.domain.ports import Hasher

SECRET_CHARACTERS = 32
KEY_BYTES = 32

_ALPHABET = string.ascii_letters + string.digits
_PREFIX = "hmac-sha256$"


class RobotSecrets:
    """Makes, hashes and verifies robots' secrets."""

    def __init__(self, key: bytes, hasher: Hasher) -> None:
        """Takes the key of the fast hash, the same in all replicas, and the hasher of chosen secrets."""
        self._key = key
        self._hasher = hasher

    def __repr__(self) -> str:
        return "RobotSecrets()"

    async def make(self, chosen: str) -> tuple[str, str]:
        """A secret and the hash to store: of the chosen secret, or of a random one if that is empty.

        Raises:
            DomainError: BAD_REQUEST, a chosen secret that is too weak; OVERLOADED.
        """
        if chosen:
            check_new_password(chosen, "secret")
            return chosen, await self._hasher.hash(chosen)
        secret = _random_secret()
        return secret, _PREFIX + self._digest(secret)

    def is_fast(self, secret_hash: str) -> bool:
        """Whether this is a fast keyed hash, which takes almost no time to verify."""
        return secret_hash.startswith(_PREFIX)

    async def verify(self, secret_hash: str, secret: str) -> bool:
        """Whether this is the secret of that hash.

        Raises:
            DomainError: OVERLOADED.
        """
        if self.is_fast(secret_hash):
            return hmac.compare_digest(secret_hash.removeprefix(_PREFIX), self._digest(secret))
        return await self._hasher.verify(secret_hash, secret)

    def _digest(self, secret: str) -> str:
        return hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _random_secret() -> str:
    # The loop ends with a secret that also meets the rule for chosen ones: Harbor's clients may check it by that rule.
    while True:
        secret = "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_CHARACTERS))
        if any(c.isupper() for c in secret) and any(c.islower() for c in secret) and any(c.isdigit() for c in secret):
            return secret
