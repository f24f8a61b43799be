"""Bytes and manifests up and down, against `distribution` on the same machine in the same run.

Look at the ratio: on a shared machine, the speeds alone say little. The peer is Go's `distribution`. It runs without
authentication; Roadstead does all its checks.
`make bench` installs it (`scripts/install-tools --peer`).
"""

import hashlib
import http.client
import itertools
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import Login

BLOB_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
ROUNDS = 5
MANIFESTS = 600
AT_ONCE = 8
_MIB = 1024 * 1024
# Without this header, distribution answers 404 for OCI manifests.
_ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Registry:
    """One of the two registries."""

    name: str
    host: str
    headers: dict[str, str]

    def connect(self) -> http.client.HTTPConnection:
        """A new connection. http.client is the simplest client, so the client costs little of the measured time."""
        return http.client.HTTPConnection(self.host, timeout=120)


def measure() -> Iterator[str]:
    """Runs every case on both registries in turn, and yields lines."""
    program = shutil.which("registry", path=f"{_ROOT / '.tools' / 'bin'}:{os.environ.get('PATH', '')}")
    if program is None:
        yield "left out: distribution is missing; `make bench` installs it where there is Go"
        return
    with (
        tempfile.TemporaryDirectory(prefix="roadstead-bench-") as folder,
        _roadstead(Path(folder)) as ours,
        _distribution(program, Path(folder)) as theirs,
    ):
        yield f"{'':<34}{'Roadstead':>12}{'distribution':>14}{'ratio':>8}   (above 1: Roadstead is faster)"
        yield from _compare(ours, theirs)


def _compare(ours: Registry, theirs: Registry) -> Iterator[str]:
    chunk = os.urandom(CHUNK_BYTES)
    digests: dict[str, str] = {}

    def up(registry: Registry) -> float:
        seconds, digests[registry.name] = _push_blob(registry, chunk)
        return BLOB_BYTES / _MIB / seconds

    def down(registry: Registry) -> float:
        return BLOB_BYTES / _MIB / _pull_blob(registry, digests[registry.name])

    def manifests(registry: Registry) -> float:
        return MANIFESTS / _pull_manifests(registry)

    cases: dict[str, Callable[[Registry], float]] = {
        f"blob up, {BLOB_BYTES // _MIB} MiB (MiB/s)": up,
        f"blob down, {BLOB_BYTES // _MIB} MiB (MiB/s)": down,
        f"manifest by tag, {AT_ONCE} at once (1/s)": manifests,
    }
    rates: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    # In turn, so that other work on the machine slows both.
    for _ in range(ROUNDS):
        for case, run in cases.items():
            rates[case].append((run(ours), run(theirs)))
    for case, pairs in rates.items():
        mine, other = (statistics.median(rate) for rate in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        yield f"{case:<34}{mine:>12.0f}{other:>14.0f}{ratio:>8.2f}"


def _push_blob(registry: Registry, chunk: bytes) -> tuple[float, str]:
    """One chunked PATCH and a PUT, as docker does; new bytes each time. Returns seconds and digest."""
    count = BLOB_BYTES // CHUNK_BYTES
    first = os.urandom(CHUNK_BYTES)
    hashed = hashlib.sha256(first)
    for _ in range(count - 1):
        hashed.update(chunk)
    digest = f"sha256:{hashed.hexdigest()}"
    connection = registry.connect()
    started = time.perf_counter()
    location = _ask(registry, connection, "POST", "/v2/library/bench/blobs/uploads/", 202)
    body = itertools.chain([first], itertools.repeat(chunk, count - 1))
    location = _ask(registry, connection, "PATCH", location, 202, body=body)
    _ask(registry, connection, "PUT", f"{location}&digest={digest}", 201)
    seconds = time.perf_counter() - started
    connection.close()
    return seconds, digest


def _ask(
    registry: Registry,
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    status: int,
    body: Iterable[bytes] | None = None,
) -> str:
    """Sends a request, and returns path and query of the Location in the answer."""
    connection.request(method, target, body=body, headers=registry.headers, encode_chunked=True)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == status, text
    location = urlsplit(answer.headers.get("Location", ""))
    return f"{location.path}?{location.query}"


def _pull_blob(registry: Registry, digest: str) -> float:
    connection = registry.connect()
    buffer = bytearray(CHUNK_BYTES)
    started = time.perf_counter()
    connection.request("GET", f"/v2/library/bench/blobs/{digest}", headers=registry.headers)
    answer = connection.getresponse()
    received = 0
    while count := answer.readinto(buffer):
        received += count
    seconds = time.perf_counter() - started
    connection.close()
    assert received == BLOB_BYTES, received
    return seconds


def _pull_manifests(registry: Registry) -> float:
    def some(count: int) -> None:
        connection = registry.connect()
        for _ in range(count):
            connection.request("GET", "/v2/library/bench/manifests/v1", headers=registry.headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(some, MANIFESTS // AT_ONCE) for _ in range(AT_ONCE)]:
            done.result()
    return time.perf_counter() - started


@contextmanager
def _roadstead(folder: Path) -> Iterator[Registry]:
    installation = Installation(folder / "roadstead", grpc=False)
    try:
        admin = Login("admin", installation.admin_password)
        push(installation.http_url, admin, "library/bench", image(1), "v1")
        answer = httpx.get(
            f"{installation.http_url}/service/token",
            params={"scope": "repository:library/bench:pull,push"},
            auth=admin.basic,
            trust_env=False,
        )
        bearer = {"Authorization": f"Bearer {answer.raise_for_status().json()['token']}"}
        yield Registry("roadstead", installation.host, _ACCEPT | bearer)
    finally:
        installation.stop()


@contextmanager
def _distribution(program: str, folder: Path) -> Iterator[Registry]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "distribution.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'distribution'}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://{address}/v2/")
        _push_plainly(f"http://{address}", "library/bench")
        yield Registry("distribution", address, _ACCEPT)
    finally:
        process.terminate()
        process.wait()


def _push_plainly(url: str, repository: str) -> None:
    pushed = image(1)
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for digest, content in pushed.blobs.items():
            started = client.post(f"/v2/{repository}/blobs/uploads/")
            location = httpx.URL(started.headers["Location"]).copy_add_param("digest", digest)
            client.put(location, content=content).raise_for_status()
        headers = {"Content-Type": pushed.media_type}
        client.put(f"/v2/{repository}/manifests/v1", content=pushed.manifest, headers=headers).raise_for_status()


def _wait(url: str) -> None:
    for _ in range(200):
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)
