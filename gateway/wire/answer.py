"""The response to a request: status, headers, and a body in memory or as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

JSON = "application/json"

Header = tuple[str, str]
"""Its name and its value."""

API_VERSION: Header = ("Docker-Distribution-Api-Version", "registry/2.0")
ACCEPTS_RANGES: Header = ("Accept-Ranges", "bytes")
NOT_SNIFFED: Header = ("X-Content-Type-Options", "nosniff")
IS_JSON: Header = ("Content-Type", JSON)

# Not read-only: a proxy of a mapping costs more than the encoding that it saves.
_FIXED: Mapping[Header, tuple[bytes, bytes]] = {
    (name, value): (name.lower().encode(), value.encode())
    for name, value in (API_VERSION, ACCEPTS_RANGES, NOT_SNIFFED, IS_JSON)
}


@dataclass(slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: the HTTP status.
        headers: in order; a name may repeat. `Content-Length` is added if it is missing and the body is bytes.
        body: the bytes, or an iterator of pieces. With an iterator, `Content-Length` must be set. The iterator is
            always closed, also when it was not read to its end. When it raises, the connection is closed, so that a
            short body never looks complete.
    """

    status: int
    headers: list[Header] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""

    @property
    def whole_body(self) -> bytes:
        """The bytes of an answer that is not a stream, such as an error.

        Raises:
            TypeError: it is a stream.
        """
        if not isinstance(self.body, bytes):
            raise TypeError("the answer is a stream")
        return self.body

    def with_header(self, name: str, value: str) -> Answer:
        """Adds a header and returns this answer."""
        self.headers.append((name, value))
        return self

    @classmethod
    def of_json(cls, document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A JSON document."""
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status, [IS_JSON, *(headers or {}).items()], body)


def encoded(headers: Iterable[Header]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them: names in small letters, and Latin-1."""
    return [_FIXED.get(each) or (_encoded_name(each[0]), each[1].encode("latin-1", "replace")) for each in headers]


@cache
def _encoded_name(name: str) -> bytes:
    # Only our own code names headers, so there are few names.
    return name.lower().encode("ascii")
