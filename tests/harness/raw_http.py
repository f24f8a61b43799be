"""HTTP/1 as raw bytes, for requests that client libraries refuse to send, and answers that they would correct."""

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_PIECE_BYTES = 65536
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True)
class RawAnswer:
    """An answer, unchanged.

    Attributes:
        status: its status; `100 Continue` is an answer of its own here.
        headers: names in lower case; the values of a repeated header are joined by ", ".
        body: the bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def code(self) -> str:
        """The code of the first error in the body; empty if the body is not an error document."""
        try:
            document: Any = json.loads(self.body)
        except ValueError:
            return ""
        return str(document["errors"][0]["code"])


class RawConnection:
    """A connection to a server.

    with RawConnection("127.0.0.1:8080") as connection:
        connection.send("GET /v2/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answer = connection.read()
    """

    def __init__(self, address: str, *, local_host: str | None = None, timeout_seconds: float = 20.0) -> None:
        """Connects.

        Args:
            address: "HOST:PORT".
            local_host: the address to come from; None for any.
            timeout_seconds: how long each read may take; TimeoutError after that.
        """
        host, _, port = address.rpartition(":")
        source = (local_host, 0) if local_host else None
        self._socket = socket.create_connection((host, int(port)), timeout_seconds, source_address=source)
        self._held = b""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Closes it, also during a request."""
        self._socket.close()

    def send(self, data: str | bytes) -> None:
        """Sends bytes; text one byte for each character."""
        self._socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def request(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> RawAnswer:
        """Sends a request and reads its answer. Adds only `Host`; the caller gives all other headers, also lengths."""
        self.send(head_of(method, target, headers) + body)
        return self.read(method)

    def read(self, method: str = "GET") -> RawAnswer:
        """Reads one answer.

        Args:
            method: of the request, since the answer to HEAD has no body.

        Raises:
            EOFError: the server has closed the connection, or closed it in the middle of the answer.
        """
        while b"\r\n\r\n" not in self._held:
            self._fill()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            key = name.lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        status = int(status_line.split(" ")[1])
        length = 0 if method == "HEAD" or status in _BODILESS or status < 200 else int(headers["content-length"])
        while len(self._held) < length:
            self._fill()
        body, self._held = self._held[:length], self._held[length:]
        return RawAnswer(status, headers, body)

    def is_closed(self) -> bool:
        """Whether the server closes the connection without sending more. Waits until it sends something or closes."""
        try:
            self._fill()
        except (EOFError, ConnectionResetError):
            return True
        return False

    def _fill(self) -> None:
        piece = self._socket.recv(_PIECE_BYTES)
        if not piece:
            raise EOFError(f"closed by the server after {self._held[:200]!r}")
        self._held += piece


def head_of(method: str, target: str, headers: Headers = (), version: str = "HTTP/1.1") -> bytes:
    """The head of a request, with a `Host` before the headers given."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"{method} {target} {version}", "Host: registry", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(*pieces: bytes) -> bytes:
    """A body in chunked coding."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
