"""What a hand-written route gives back: status, headers, and a body that is there or that streams.

Quart's Response costs several times as much to build, and reads a file or a stream into its own wrappers; hot routes
need neither. Routes that Quart serves may return either.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

JSON = "application/json"


@dataclass(slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: the HTTP status.
        headers: in order; a name may repeat. `Content-Length` is filled in where the body is bytes and it is not set.
        body: the bytes, or an iterator that gives them piece by piece. An iterator comes with `Content-Length` set, and
            is closed whether or not it was read to its end. When it raises, the connection is cut, so that a short body
            never looks complete.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""

    def with_header(self, name: str, value: str) -> Answer:
        """Adds a header, and gives itself back."""
        self.headers.append((name, value))
        return self

    @classmethod
    def of_json(cls, document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A JSON document."""
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status, [("Content-Type", JSON), *(headers or {}).items()], body)
