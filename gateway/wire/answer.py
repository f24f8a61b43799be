"""The response of a hand-written route: status, headers, and a body in memory or as a stream.

Quart's Response is several times as expensive to build, and puts files and streams into wrappers of its own. Hot routes
need neither. Routes that Quart serves may return an `Answer` or a Quart Response.
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
        headers: in order; a name may repeat. `Content-Length` is added if it is missing and the body is bytes.
        body: the bytes, or an iterator of pieces. With an iterator, `Content-Length` must be set. The iterator is
            always closed, also when it was not read to its end. When it raises, the connection is closed, so that a
            short body never looks complete.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
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
        return cls(status, [("Content-Type", JSON), *(headers or {}).items()], body)
