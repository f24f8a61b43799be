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
"""The algorithms served, each with the number of its hex digits."""

_HEX = re.compile(r"[0-9a-f]+")


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise DigestInvalidError(
            f"digest algorithm {shown(algorithm)} is not served; {' and '.join(ALGORITHMS)} are",
            algorithm=shown(algorithm),
        )


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The hash of some bytes. Sorts by algorithm, then by hex digits.

    Raises:
        DigestInvalidError: not sha256 or sha512, or not exactly its number of lower-case hex digits.
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
            DigestInvalidError: as the class says.
        """
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise DigestInvalidError(f"a digest reads <algorithm>:<hex>, not {shown(text)}", digest=shown(text))
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: ReadableBuffer, algorithm: str = SHA256) -> Digest:
        """Hash bytes that are at hand. It blocks for as long as that takes (about 1 ms a MiB).

        Raises:
            DigestInvalidError: the algorithm is not served.
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
    """Hashes bytes as they come, to a digest. Not for use by two threads at once.

    Raises:
        DigestInvalidError: the algorithm is not served.
    """

    __slots__ = ("_state", "algorithm")

    def __init__(self, algorithm: str = SHA256) -> None:
        _check_algorithm(algorithm)
        self.algorithm = algorithm
        self._state = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: ReadableBuffer) -> None:
        """Add bytes. The interpreter's lock is released for all but small pieces."""
        self._state.update(data)

    def digest(self) -> Digest:
        """Give the digest of everything so far; more may follow."""
        return Digest(self.algorithm, self._state.hexdigest())
