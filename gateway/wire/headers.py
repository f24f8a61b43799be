"""The headers of a request."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import overload


class Headers:
    """The headers of a request, read-only. Names are found in any case.

    Values are decoded as Latin-1, so that no byte of them is lost (RFC 9110 §5.5), and only those that are asked for.

    Attributes:
        count: how many there are.
        size_bytes: of all names and values, as HTTP/1 writes them.
    """

    __slots__ = ("_values", "count", "size_bytes")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes names and values, as a server gives them."""
        values: dict[bytes, list[bytes]] = {}
        count = size_bytes = 0
        for name, value in pairs:
            values.setdefault(name.lower(), []).append(value)
            count += 1
            size_bytes += len(name) + len(value) + 4
        self._values = values
        self.count = count
        self.size_bytes = size_bytes

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a header; the first one, if it was sent several times."""
        values = self._values.get(_key(name))
        return default if values is None else values[0].decode("latin-1")

    def getlist(self, name: str) -> list[str]:
        """The values of a header, one for each time that it was sent."""
        values = self._values.get(_key(name))
        return [] if values is None else [value.decode("latin-1") for value in values]

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._values


@cache
def _key(name: str) -> bytes:
    # Only our own code names headers, so there are few names.
    return name.lower().encode("latin-1")
