"""Stands between client programs and a registry, passes every byte on unchanged, and tells what was asked and answered.

with tap(installation.host) as tapped:
    docker.attempt("pull", f"{tapped.host}/library/app:v1")
    tapped.exchanges()      # [GET /v2/ 401 UNAUTHORIZED, ...]

The registry names the address that it was asked by, so that clients also fetch their tokens through the tap.
"""

import http.client
import io
import json
import socket
import socketserver
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE_BYTES = 65536


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        method: of the request.
        path: of the request, without its query, which may have the ticket of an upload.
        status: of the answer.
        code: the code of the first error in the answer; empty if it has no error document, as with every HEAD.
    """

    method: str
    path: str
    status: int
    code: str

    @property
    def about(self) -> str:
        """What was asked for: "token", "manifest", "blob", "upload", or "registry" for /v2/ itself."""
        if self.path.startswith("/service/token"):
            return "token"
        kinds = {"/blobs/uploads": "upload", "/blobs/": "blob", "/manifests/": "manifest"}
        return next((kind for part, kind in kinds.items() if part in self.path), "registry")


@dataclass
class _Conversation:
    """The bytes of one connection so far.

    Attributes:
        asked: what the client sent.
        answered: what the registry sent.
        pieces: for each piece of the answers, where it ends and when it came.
    """

    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[int, float]] = field(default_factory=list)

    def answer_came(self, end: int) -> float:
        """When the answer that ends here had come in full."""
        return self.pieces[bisect_left(self.pieces, (end, 0.0))][1]


class Tap:
    """The recording.

    Attributes:
        host: "127.0.0.1:PORT", where clients connect.
    """

    def __init__(self, address: str) -> None:
        """Listens.

        Args:
            address: of the registry, "HOST:PORT".
        """
        host, _, port = address.rpartition(":")
        self._upstream = (host, int(port))
        self._conversations: list[_Conversation] = []
        self.server = _Server(self)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"

    def forget(self) -> None:
        """Forgets all that was recorded. Connections that are open stay, and are no longer recorded."""
        self._conversations = []

    def exchanges(self) -> list[Exchange]:
        """What was asked and answered in full, in the order of the answers. What a client has seen is always in it."""
        read = [each for conversation in self._conversations for each in _read(conversation)]
        return [exchange for _, exchange in sorted(read, key=lambda each: each[0])]

    def carry(self, client: socket.socket) -> None:
        """Passes on one connection of a client, until both sides have closed it."""
        conversation = _Conversation()
        self._conversations.append(conversation)
        with socket.create_connection(self._upstream) as server:
            asking = threading.Thread(target=_ask, args=(client, server, conversation), name="tap-asks", daemon=True)
            asking.start()
            _answer(server, client, conversation)
            asking.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, tap: Tap) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tap = tap


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.tap.carry(self.request)


class _Recorded(io.BytesIO):
    """Bytes that look like a socket to http.client, and stay open after an answer was read."""

    def makefile(self, _mode: str) -> "_Recorded":
        return self

    def close(self) -> None:
        pass


@contextmanager
def tap(address: str) -> Iterator[Tap]:
    """A tap inside the block, before the registry at this address ("HOST:PORT")."""
    tapped = Tap(address)
    thread = threading.Thread(target=tapped.server.serve_forever, name="tap", daemon=True)
    thread.start()
    try:
        yield tapped
    finally:
        tapped.server.shutdown()
        # Not its `server_close`: that would wait for connections that clients keep open.
        tapped.server.socket.close()
        thread.join()


def _ask(client: socket.socket, server: socket.socket, conversation: _Conversation) -> None:
    # Either side may reset the connection; then the other one shall see that it ends.
    with suppress(OSError):
        while piece := client.recv(_PIECE_BYTES):
            conversation.asked += piece
            server.sendall(piece)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _answer(server: socket.socket, client: socket.socket, conversation: _Conversation) -> None:
    with suppress(OSError):
        while piece := server.recv(_PIECE_BYTES):
            # Before the client gets it, so that the recording is complete when the client has ended.
            conversation.answered += piece
            conversation.pieces.append((len(conversation.answered), time.monotonic()))
            client.sendall(piece)
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)


def _read(conversation: _Conversation) -> Iterator[tuple[float, Exchange]]:
    """The exchanges of a connection, each with the time of its answer."""
    asked, answered = io.BytesIO(bytes(conversation.asked)), _Recorded(bytes(conversation.answered))
    while (line := asked.readline().decode("latin-1").rstrip("\r\n")).endswith(" HTTP/1.1"):
        method, target, _ = line.split(" ")
        _skip_body(asked)
        # http.client needs no more of a socket than `makefile`.
        answer = http.client.HTTPResponse(answered, method=method)  # type: ignore[arg-type]
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ConnectionError):
            # It has not come yet, or not in full.
            return
        exchange = Exchange(method, target.partition("?")[0], answer.status, _code(body))
        yield conversation.answer_came(answered.tell()), exchange


def _skip_body(asked: io.BytesIO) -> None:
    """Goes to the next request."""
    headers = http.client.parse_headers(asked)
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        asked.seek(int(headers.get("Content-Length", "0")), io.SEEK_CUR)
        return
    while length := int(asked.readline().partition(b";")[0] or b"0", 16):
        asked.seek(length + len(b"\r\n"), io.SEEK_CUR)
    while asked.readline().strip():
        pass


def _code(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    errors = document.get("errors") if isinstance(document, dict) else None
    return str(errors[0]["code"]) if errors else ""
