"""The texts of refresh tokens, and their hashes.

A text has 256 random bits, so a fast hash is safe: nobody can find a text for a hash. Without the key, which is in
another table, nobody can tell from the rows whether a token that was found elsewhere is one of them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

TOKEN_PREFIX = "rsr_"  # noqa: S105 - no password
"""Every token begins with it, so that logs (`svckit.redaction`) and scanners of source code recognize one."""

_TOKEN_BYTES = 32


class RefreshTokenTexts:
    """Makes the texts of tokens, and the hashes by which they are found."""

    def __init__(self, installation_key: bytes) -> None:
        """Takes the key of the installation, which is the same in all replicas."""
        self._key = hmac.digest(installation_key, b"refresh tokens", hashlib.sha256)

    def __repr__(self) -> str:
        return "RefreshTokenTexts()"

    def make(self) -> str:
        """A new text."""
        return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)

    def hash(self, text: str) -> str:
        """The hash to store, or to look for."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
