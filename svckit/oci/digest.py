"""Digests: content addressed by its hash (image-spec, descriptor.md, section Digests)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from svckit.oci.errors import DigestInvalidError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer

SHA256 = "sha256"
SHA512 = "sha512"

ALGORITHMS: Mapping[str, int] = MappingProxyType({SHA256: 64, SHA512: 128})
"""The supported algorithms, each with its number of hex digits."""

_HEX = re.compile(r"[0-9a-f]+")


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise DigestInvalidError(
            f"digest algorithm {shown(algorithm)} is not supported; {' and '.join(ALGORITHMS)} are",
            algorithm=shown(algorithm),
        )


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The hash of some bytes. Sorts by algorithm, then by hex digits.

    Raises:
        DigestInvalidError: the algorithm is not sha256 or sha512, or the hex part is malformed or of a wrong length.
    """

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        _check_algorithm(self.algorithm)
        if len(self.hex) != ALGORITHMS[self.algorithm] or _HEX.fullmatch(self.hex) is None:
            raise DigestInvalidError(
                f"a {self.algorithm} digest has {ALGORITHMS[self.algorithm]} lower-case hex digits, "
                f"not {shown(self.hex)}",
                digest=shown(self.hex),
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `<algorithm>:<hex>`.

        Raises:
            DigestInvalidError: the text is not a digest, or its algorithm is not supported.
        """
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise DigestInvalidError(f"a digest has the form <algorithm>:<hex>, not {shown(text)}", digest=shown(text))
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: ReadableBuffer, algorithm: str = SHA256) -> Digest:
        """Hash bytes in memory. This blocks for about 1 ms per MiB.

        Raises:
            DigestInvalidError: the algorithm is not supported.
        """
        hasher = Hasher(algorithm)
        hasher.update(data)
        return hasher.digest()

    def matches(self, data: ReadableBuffer) -> bool:
        """Tell whether these bytes have this digest."""
        return Digest.of(data, self.algorithm) == self

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Hasher:
    """Computes a digest from bytes that arrive in pieces. Not for use by two threads at once.

    Raises:
        DigestInvalidError: the algorithm is not supported.
    """

    __slots__ = ("_state", "algorithm")

    def __init__(self, algorithm: str = SHA256) -> None:
        _check_algorithm(algorithm)
        self.algorithm = algorithm
        self._state = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: ReadableBuffer) -> None:
        """Add bytes. The interpreter's lock is released, except for small pieces."""
        self._state.update(data)

    def digest(self) -> Digest:
        """Return the digest of all bytes so far. More bytes may be added afterwards."""
        return Digest(self.algorithm, self._state.hexdigest())
