"""A layer of 2 GiB goes up and down through four processes, and none of them holds more than a few pieces of it.

The test also makes, hashes and compares the bytes in pieces. The idle memory of a process is measured after a small
push and pull, when all modules that these need have been loaded.
"""

import hashlib
import http.client
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from svckit.disk import WRITE_BYTES
from tests.harness import plain_http
from tests.harness.installation import PLACEMENTS, Installation, running_installation

pytestmark = pytest.mark.slow

MEBIBYTE = 1024 * 1024
LARGE_BYTES = 2048 * MEBIBYTE
HALF_BYTES = 512 * MEBIBYTE
SMALL_BYTES = MEBIBYTE
ALLOWED_BYTES = 64 * MEBIBYTE

REPOSITORY = "library/large"
# What docker's copy loop hands to its connection at once.
DOCKER_PIECE_BYTES = 32 * 1024
SLOW_WRITE_SECONDS = 0.002
# Longer than it takes to fill every buffer between the disk and a client that does not read.
STOPPED_SECONDS = 1.5
TIMEOUT_SECONDS = 60.0

# Loaded by every Python process of the installation. It makes the disk slow while a file exists.
SLOW_DISK = """
import os, sys, time
if {{"blobsvc", "gateway"}} & set(sys.orig_argv):
    write, pwrite, splice = os.write, os.pwrite, os.splice
    def wait(size_bytes):
        if os.path.exists({switch!r}):
            time.sleep(size_bytes / {write_bytes} * {seconds})
    def slow_write(descriptor, data):
        if len(data) == {write_bytes}:
            wait(len(data))
        return write(descriptor, data)
    def slow_pwrite(descriptor, data, offset):
        wait(len(data))
        return pwrite(descriptor, data, offset)
    def slow_splice(source, target, count, **named):
        written = splice(source, target, count, **named)
        if "offset_dst" in named:
            wait(written)
        return written
    os.write, os.pwrite, os.splice = slow_write, slow_pwrite, slow_splice
"""


@dataclass(frozen=True)
class Layer:
    """Random bytes that are never held: blocks of 1 MiB, each another one. The same seed, the same bytes."""

    size_bytes: int
    seed: int

    def blocks(self) -> Iterator[bytes]:
        tail = random.Random(self.seed).randbytes(MEBIBYTE - 8)
        for number in range(self.size_bytes // MEBIBYTE):
            yield number.to_bytes(8, "big") + tail

    def digest(self) -> str:
        hasher = hashlib.sha256()
        for block in self.blocks():
            hasher.update(block)
        return f"sha256:{hasher.hexdigest()}"


@dataclass(frozen=True)
class Registry:
    """A client that holds a block at a time."""

    installation: Installation
    token: str

    @contextmanager
    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPConnection(self.installation.host, timeout=TIMEOUT_SECONDS)) as connection:
            chunked = headers.get("Transfer-Encoding") == "chunked"
            headers["Authorization"] = f"Bearer {self.token}"
            connection.request(method, path, body, headers, encode_chunked=chunked)
            with connection.getresponse() as response:
                yield response

    def begin(self) -> str:
        """Begins an upload; gives its location."""
        with self.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/", **{"Content-Length": "0"}) as response:
            assert response.status == 202
            return response.headers["Location"]

    def push_as_docker(self, layer: Layer) -> str:
        """One chunked PATCH without a length, hashed on the way, and an empty PUT; gives the digest."""
        hasher = hashlib.sha256()

        def pieces() -> Iterator[memoryview]:
            for block in layer.blocks():
                hasher.update(block)
                for start in range(0, MEBIBYTE, DOCKER_PIECE_BYTES):
                    yield memoryview(block)[start : start + DOCKER_PIECE_BYTES]

        with self.request("PATCH", self.begin(), map(bytes, pieces()), **{"Transfer-Encoding": "chunked"}) as response:
            assert response.status == 202, response.read()
            assert response.headers["Range"] == f"0-{layer.size_bytes - 1}"
            location = response.headers["Location"]
        digest = f"sha256:{hasher.hexdigest()}"
        with self.request("PUT", f"{location}&digest={digest}", **{"Content-Length": "0"}) as response:
            assert response.status == 201, response.read()
        return digest

    def push_as_containerd(self, layer: Layer, digest: str) -> None:
        """A single PUT with everything in it."""
        location = f"{self.begin()}&digest={digest}"
        length = str(layer.size_bytes)
        with self.request("PUT", location, layer.blocks(), **{"Content-Length": length}) as response:
            assert response.status == 201, response.read()
            assert response.headers["Docker-Content-Digest"] == digest

    @contextmanager
    def pull(self, layer: Layer, digest: str) -> Iterator[Iterator[None]]:
        """A download, whose blocks are compared one at each step."""

        def compare(response: http.client.HTTPResponse) -> Iterator[None]:
            buffer = bytearray(MEBIBYTE)
            for number, block in enumerate(layer.blocks()):
                view = memoryview(buffer)
                while view and (count := response.readinto(view)):
                    view = view[count:]
                assert buffer == block, f"block {number} is another one"
                yield
            assert response.read(1) == b""

        with self.request("GET", f"/v2/{REPOSITORY}/blobs/{digest}") as response:
            assert response.status == 200
            assert response.headers["Content-Length"] == str(layer.size_bytes)
            yield compare(response)

    def pull_whole(self, layer: Layer, digest: str) -> None:
        with self.pull(layer, digest) as steps:
            assert sum(1 for _ in steps) == layer.size_bytes // MEBIBYTE


class Memory:
    """What the processes of an installation occupy, and the most that they did."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._rest = {name: installation.resident_bytes(name) for name in installation.pids()}

    @contextmanager
    def watched(self, record_property: Any) -> Iterator[None]:
        """Fails where a process has grown by more than is allowed while inside."""
        self._installation.forget_peaks()
        yield
        grown = {name: self._installation.peak_bytes(name) - rest for name, rest in self._rest.items()}
        text = ", ".join(f"{name} {size / MEBIBYTE:+.1f} MiB" for name, size in sorted(grown.items()))
        record_property("grown", text)
        assert max(grown.values()) < ALLOWED_BYTES, text


@pytest.fixture(scope="module")
def slow_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that makes the disk slow while it is there."""
    return tmp_path_factory.mktemp("disk") / "slow"


@pytest.fixture(scope="module", params=["file"])
def large_installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, slow_disk: Path
) -> Iterator[Installation]:
    """An installation of its own, whose blobs are removed at the end: pytest would keep gigabytes.

    The parameter says which way the bytes take.
    """
    switched = slow_disk.parent / "sitecustomize.py"
    switched.write_text(SLOW_DISK.format(switch=str(slow_disk), seconds=SLOW_WRITE_SECONDS, write_bytes=WRITE_BYTES))
    data_dir = tmp_path_factory.mktemp("large") / "data"
    try:
        variables = {**PLACEMENTS[request.param], "PYTHONPATH": str(switched.parent)}
        with running_installation(data_dir, grpc=False, environment=variables) as running:
            yield running
    finally:
        shutil.rmtree(data_dir)


@pytest.fixture(scope="module")
def registry(large_installation: Installation) -> Registry:
    answer = plain_http.get(
        f"{large_installation.http_url}/service/token",
        params={"service": "harbor-registry", "scope": f"repository:{REPOSITORY}:pull,push"},
        auth=("admin", large_installation.admin_password),
    )
    return Registry(large_installation, answer.raise_for_status().json()["token"])


@pytest.fixture(scope="module")
def memory(large_installation: Installation, registry: Registry) -> Memory:
    """Of an installation that has served a small push each way, and its pull."""
    layer = Layer(SMALL_BYTES, seed=0)
    registry.pull_whole(layer, registry.push_as_docker(layer))
    other = Layer(SMALL_BYTES, seed=1)
    registry.push_as_containerd(other, other.digest())
    return Memory(large_installation)


@pytest.fixture(scope="module")
def pushed(registry: Registry) -> tuple[Layer, str]:
    """A layer that is there, and is several times what a process may grow by."""
    layer = Layer(4 * ALLOWED_BYTES, seed=2)
    return layer, registry.push_as_docker(layer)


on_both_ways = pytest.mark.parametrize("large_installation", PLACEMENTS, indirect=True)


def test_two_gib_up_as_docker_does_and_down(memory: Memory, registry: Registry, record_property: Any) -> None:
    layer = Layer(LARGE_BYTES, seed=3)

    with memory.watched(record_property):
        digest = registry.push_as_docker(layer)
    with memory.watched(record_property):
        registry.pull_whole(layer, digest)


@on_both_ways
def test_half_a_gib_up_as_containerd_does(memory: Memory, registry: Registry, record_property: Any) -> None:
    layer = Layer(HALF_BYTES, seed=4)
    digest = layer.digest()

    with memory.watched(record_property):
        registry.push_as_containerd(layer, digest)


@on_both_ways
def test_a_reader_that_stops_for_a_while(
    memory: Memory, registry: Registry, pushed: tuple[Layer, str], record_property: Any
) -> None:
    with memory.watched(record_property), registry.pull(*pushed) as steps:
        assert sum(1 for _ in islice(steps, 32)) == 32
        # A sleep on purpose: a process that reads ahead would go on reading in this time.
        time.sleep(STOPPED_SECONDS)
        assert sum(1 for _ in islice(steps, 32)) == 32


@on_both_ways
def test_a_disk_that_is_slower_than_the_client(
    memory: Memory, registry: Registry, slow_disk: Path, record_property: Any
) -> None:
    layer = Layer(128 * MEBIBYTE, seed=5)
    slow_disk.touch()
    began = time.monotonic()

    try:
        with memory.watched(record_property):
            registry.push_as_docker(layer)
    finally:
        slow_disk.unlink()

    assert time.monotonic() - began > layer.size_bytes // WRITE_BYTES * SLOW_WRITE_SECONDS, "the disk was not slow"
