"""The load client against a server that notes what it is sent."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.client import PROGRAM, Job, LoadError, run
from tests.harness.programs import program

_BODY = b"0123456789" * 100_000


class _Server(ThreadingHTTPServer):
    """Serves a body at /sized, /chunked and /refused, and takes uploads and manifests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: Counter[str] = Counter()
        self.connections = 0
        self.tokens: set[str | None] = set()
        self.uploads: dict[str, bytes] = {}
        self.lock = threading.Lock()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._note()
        if self.path == "/refused":
            self._answer(503, b"full")
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for first in range(0, len(_BODY), 70_000):
                part = _BODY[first : first + 70_000]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._answer(200, _BODY)

    def do_HEAD(self) -> None:
        self._note()
        status = 404 if "/blobs/" in self.path else 200
        self.send_response(status)
        self.send_header("Content-Length", "12345")
        self.end_headers()

    def do_POST(self) -> None:
        self._note()
        with self.server.lock:
            name = f"/upload/{len(self.server.uploads)}"
            self.server.uploads[name] = b""
        # An absolute URL, as distribution's, and a query, as ours.
        self._answer(202, b"", Location=f"http://{self.server.host}{name}?state=a%2Bb")

    def do_PATCH(self) -> None:
        self._note()
        assert self.path.endswith("?state=a%2Bb")
        self.server.uploads[self.path.partition("?")[0]] += self._body()
        self._answer(202, b"", Location=self.path)

    def do_PUT(self) -> None:
        self._note()
        body = self._body()
        path, _, query = self.path.partition("?")
        if path.startswith("/upload/"):
            digest = hashlib.sha256(self.server.uploads[path]).hexdigest()
            right = query == f"state=a%2Bb&digest=sha256%3A{digest}" and not body
            self._answer(201 if right else 400, b"")
        else:
            self.server.uploads[path] = body
            self._answer(201, b"")

    def _note(self) -> None:
        with self.server.lock:
            self.server.seen[self.command] += 1
            self.server.tokens.add(self.headers["Authorization"])

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[_Server]:
    program(PROGRAM)
    with _Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("target", ["/sized", "/chunked"])
def test_requests_are_sent_until_the_time_is_over_and_counted(server: _Server, target: str) -> None:
    done = run(Job(kind="requests", address=server.host, token="t", connections=3, seconds=0.2, target=target))

    assert done.count == server.seen["GET"] >= 3
    assert done.bytes == done.count * len(_BODY)
    assert done.seconds >= 0.2
    assert 0 < done.p50_ms <= done.p99_ms
    assert done.client_cpu_seconds > 0
    assert server.connections == 3
    assert server.tokens == {"Bearer t"}


def test_a_head_is_answered_without_its_body(server: _Server) -> None:
    done = run(Job(kind="requests", address=server.host, token="t", seconds=0.1, method="HEAD", target="/sized"))

    assert done.count == server.seen["HEAD"] > 1
    assert done.bytes == 0


def test_a_download_reads_the_body_once_on_each_connection(server: _Server) -> None:
    done = run(Job(kind="download", address=server.host, token="t", connections=4, target="/sized"))

    assert (done.count, done.bytes, server.seen["GET"]) == (4, 4 * len(_BODY), 4)


@pytest.mark.parametrize("size", [1, 1024 * 1024, 3_000_000])
def test_uploads_are_new_whole_and_closed_with_their_digest(server: _Server, size: int) -> None:
    repositories = ["library/a", "library/b"]
    jobs = [
        Job(
            kind="upload",
            address=server.host,
            token="t",
            connections=2,
            bytes=size,
            repositories=repositories,
            seed=seed,
        )
        for seed in (10, 20)
    ]

    digests = [digest for job in jobs for digest in run(job).digests]

    sent = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in server.uploads.values()]
    assert sorted(digests) == sorted(sent)
    assert {len(content) for content in server.uploads.values()} == {size}
    # A single byte can only have so many values.
    assert len(set(digests)) == 4 or size == 1
    assert server.seen == {"POST": 4, "PATCH": 4, "PUT": 4}


def test_a_push_is_nine_requests_and_a_manifest_that_names_its_blobs(server: _Server) -> None:
    job = Job(kind="push", address=server.host, token="t", connections=2, seconds=0.1, repositories=["library/a"])
    done = run(job)

    assert server.seen == {method: done.count * times for method, times in _PUSH.items()}
    digests = {hashlib.sha256(content).hexdigest() for content in server.uploads.values()}
    manifests = [content.decode() for path, content in server.uploads.items() if "/manifests/" in path]
    assert len(manifests) == done.count
    assert all(sum(f"sha256:{digest}" in manifest for digest in digests) == 2 for manifest in manifests)


_PUSH = {"HEAD": 2, "POST": 2, "PATCH": 2, "PUT": 3}


def test_another_answer_than_the_expected_one_ends_the_client(server: _Server) -> None:
    with pytest.raises(LoadError, match="GET /refused: 503 instead of 200: full"):
        run(Job(kind="requests", address=server.host, token="t", connections=2, seconds=5, target="/refused"))


def test_the_token_is_not_in_the_text_of_a_job() -> None:
    assert "hidden" not in repr(Job(kind="requests", address="host", token="hidden"))
