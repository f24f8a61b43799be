"""A push over HTTP, with a service killed between any two requests, and within them.

The client gets errors and repeats its requests, as docker and containerd do. The result must be that of an undisturbed
push: the same bytes, charged once, linked once, tagged once. Nothing is visible before it is complete.
"""

import fcntl
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit

import httpx
import pytest

from tests.harness.images import Image, digest_of, image
from tests.harness.meta_rows import MetaRows
from tests.harness.plain_http import NO_TLS
from tests.harness.pushed import Stored
from tests.harness.services import Services
from tests.harness.waiting import result_of, wait_until

pytestmark = pytest.mark.slow

on_sqlite = pytest.mark.parametrize("services", ["sqlite"], indirect=True)
on_both_ways = pytest.mark.parametrize("services", ["sqlite", "sqlite, stream"], indirect=True)
on_both = pytest.mark.parametrize(
    "services", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
LAYER_BYTES = 3_500_000
FIRST_BYTES = 2 * 1024 * 1024
PIECE_BYTES = 32 * 1024
WAIT_SECONDS = 30.0
RETRY_SECONDS = 0.1
# Within a request and just after it, on slow and on fast machines.
KILL_AFTER_SECONDS = (0.002, 0.008, 0.032)

_seeds = count(8000)


@dataclass
class Pusher:
    """A client that pushes one image into a project of its own, and repeats what failed."""

    client: httpx.Client
    services: Services
    stored: Stored
    repository: str
    image: Image
    tag: str = "v1"
    has_config: bool = False

    @property
    def layer(self) -> bytes:
        return self.image.blobs[self.layer_digest]

    @property
    def layer_digest(self) -> str:
        digest: str = self.image.layers[0]["digest"]
        return digest

    def begin(self) -> str:
        """POST; returns the location."""
        answer = self.retried(lambda: self.client.post(f"/v2/{self.repository}/blobs/uploads/"), 202)
        assert answer.headers["Range"] == "0-0"
        return answer.headers["Location"]

    def write(self, location: str, content: bytes, offset: int = 0) -> httpx.Response:
        """PATCH with the bytes from an offset, repeated until they are stored."""
        headers = {"Content-Range": f"{offset}-{offset + len(content) - 1}"}
        answer = self.retried(lambda: self.client.patch(location, content=content, headers=headers), 202, 416)
        assert answer.headers["Range"] == f"0-{offset + len(content) - 1}"
        return answer

    def finish(self, location: str, digest: str) -> None:
        """The closing PUT."""
        answer = self.retried(lambda: self.close(location, digest), 201)
        assert answer.headers["Docker-Content-Digest"] == digest

    def close(self, location: str, digest: str) -> httpx.Response:
        """One attempt at the closing PUT."""
        return self.client.put(httpx.URL(location).copy_add_param("digest", digest))

    def put_manifest(self) -> httpx.Response:
        """One attempt at the manifest."""
        path = f"/v2/{self.repository}/manifests/{self.tag}"
        return self.client.put(path, content=self.image.manifest, headers={"Content-Type": self.image.media_type})

    def push_blob(self, content: bytes) -> None:
        location = self.begin()
        self.write(location, content)
        self.finish(location, digest_of(content))

    def push_config(self) -> None:
        if not self.has_config:
            self.push_blob(self.image.blobs[self.image.config["digest"]])
            self.has_config = True

    def committed_bytes(self, location: str) -> int:
        """The size of an upload, by its status."""
        first, _, last = self.retried(lambda: self.client.get(location), 204).headers["Range"].partition("-")
        assert first == "0"
        return int(last) + 1 if last != "0" else 0

    def upload_bytes(self, location: str) -> int:
        """The size of an upload, by the disk."""
        return self.stored.upload_bytes().get(urlsplit(location).path.rpartition("/")[2], 0)

    def head(self, path: str) -> int:
        """Whether something exists: 200 or 404."""
        return self.retried(lambda: self.client.head(f"/v2/{self.repository}/{path}"), 200, 404).status_code

    def check_unseen(self, *, linked: bool = False, put: bool = False) -> None:
        """Fails if a blob or manifest is visible too early."""
        assert self.head(f"blobs/{self.layer_digest}") == (200 if linked else 404)
        assert self.head(f"manifests/{self.tag}") == (200 if put else 404)
        assert self.head(f"manifests/{self.image.digest}") == (200 if put else 404)

    def end(self) -> None:
        """Pushes what is left, and fails unless everything is there once."""
        self.check_unseen(linked=True)
        self.push_config()
        self.retried(self.put_manifest, 201)
        self.check_outcome()

    def check_outcome(self) -> None:
        """Fails unless everything is there once."""
        for reference in (self.tag, self.image.digest):
            assert self.get(f"manifests/{reference}") == self.image.manifest
        for digest, content in self.image.blobs.items():
            assert self.get(f"blobs/{digest}") == content
        assert json.loads(self.get("tags/list"))["tags"] == [self.tag]
        self.stored.check_once(self.repository, self.image, self.tag)

    def get(self, path: str) -> bytes:
        return self.retried(lambda: self.client.get(f"/v2/{self.repository}/{path}"), 200).content

    def retried(self, send: Callable[[], httpx.Response], *expected: int) -> httpx.Response:
        """Repeats a request while there is no answer, or the answer is that a service is away."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                answer = send()
            except httpx.TransportError:
                assert time.monotonic() < deadline
            else:
                if answer.status_code in expected:
                    return answer
                assert answer.status_code == 503, answer.text
                assert "Retry-After" in answer.headers
                assert time.monotonic() < deadline
            time.sleep(RETRY_SECONDS)


@pytest.fixture
def new_pusher(services: Services) -> Iterator[Callable[[], Pusher]]:
    admin = ("admin", services.admin_password)
    with httpx.Client(base_url=services.http_url, timeout=WAIT_SECONDS, trust_env=False, verify=NO_TLS) as client:

        def make() -> Pusher:
            project = f"crash{random.getrandbits(40):x}"
            answer = client.post("/api/v2.0/projects", json={"project_name": project}, auth=admin)
            assert answer.status_code == 201, answer.text
            repository = f"{project}/app"
            query = {"service": "harbor-registry", "scope": f"repository:{repository}:pull,push"}
            token = client.get("/service/token", params=query, auth=admin).raise_for_status().json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            stored = Stored(MetaRows(services.database_url), services.data_dir)
            return Pusher(client, services, stored, repository, image(next(_seeds), layers=1, layer_bytes=LAYER_BYTES))

        yield make
    # After a failed test, the next one must find all services running.
    services.start_all()


@pytest.fixture
def pusher(new_pusher: Callable[[], Pusher]) -> Pusher:
    return new_pusher()


@pytest.fixture
def in_flight() -> Iterator[ThreadPoolExecutor]:
    """A thread for a request during which something is to happen."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@on_sqlite
@pytest.mark.parametrize("service", ["blobsvc", "metasvc", "gateway", "authsvc"])
def test_a_service_killed_between_each_two_requests(pusher: Pusher, service: str) -> None:
    def kill() -> None:
        pusher.services.restart_soon(service)

    first = pusher.begin()
    kill()
    location = pusher.begin()
    kill()
    pusher.write(location, pusher.layer)
    kill()
    # A repeat is refused with the present end of the upload, and nothing is written twice.
    pusher.write(location, pusher.layer)
    assert pusher.committed_bytes(location) == len(pusher.layer)
    assert pusher.committed_bytes(first) == 0
    pusher.check_unseen()
    kill()
    pusher.finish(location, pusher.layer_digest)
    kill()
    pusher.finish(location, pusher.layer_digest)
    pusher.check_unseen(linked=True)
    pusher.push_config()
    kill()
    pusher.retried(pusher.put_manifest, 201)
    kill()
    pusher.retried(pusher.put_manifest, 201)
    pusher.check_outcome()
    pusher.services.wait_until_serving(service)


@on_both_ways
@pytest.mark.parametrize("service", ["blobsvc", "gateway"])
@pytest.mark.parametrize("afterwards", ["goes on", "begins anew"])
def test_a_service_killed_in_the_middle_of_a_patch(
    pusher: Pusher, in_flight: ThreadPoolExecutor, service: str, afterwards: str
) -> None:
    location = pusher.begin()

    break_body(pusher, in_flight, service, location, lambda body: pusher.client.patch(location, content=body))

    pusher.services.start(service)
    pusher.check_unseen()
    if afterwards == "goes on":
        committed = pusher.committed_bytes(location)
        # The gateway writes on without blobsvc, as far as it was allowed before. So the whole body may be there.
        assert 0 < committed <= len(pusher.layer)
        if committed < len(pusher.layer):
            pusher.write(location, pusher.layer[committed:], committed)
        pusher.finish(location, pusher.layer_digest)
    else:
        pusher.push_blob(pusher.layer)
    pusher.end()


@on_both_ways
@pytest.mark.parametrize("service", ["blobsvc", "gateway"])
def test_a_service_killed_in_the_middle_of_a_put_with_everything_in_it(
    pusher: Pusher, in_flight: ThreadPoolExecutor, service: str
) -> None:
    location = pusher.begin()
    url = httpx.URL(location).copy_add_param("digest", pusher.layer_digest)

    break_body(pusher, in_flight, service, location, lambda body: pusher.client.put(url, content=body))

    pusher.services.start(service)
    pusher.check_unseen()
    # containerd starts a new upload.
    again = httpx.URL(pusher.begin()).copy_add_param("digest", pusher.layer_digest)
    assert pusher.client.put(again, content=pusher.layer).status_code == 201
    pusher.end()


def break_body(
    pusher: Pusher,
    in_flight: ThreadPoolExecutor,
    service: str,
    location: str,
    send: Callable[[Iterator[bytes]], httpx.Response],
) -> None:
    """Kills a service when it has received a part of a body."""
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        for start in range(0, FIRST_BYTES, PIECE_BYTES):
            yield pusher.layer[start : start + PIECE_BYTES]
        go_on.wait(WAIT_SECONDS)
        yield pusher.layer[FIRST_BYTES:]

    sending = in_flight.submit(send, body())
    try:
        wait_until(lambda: pusher.upload_bytes(location) > 0, "the first bytes")
        pusher.services.kill(service)
    finally:
        go_on.set()
    try:
        answer = result_of(sending, "the answer to the cut upload", seconds=WAIT_SECONDS)
    except httpx.TransportError:
        return
    assert answer.status_code == 503, answer.text


@on_both
def test_metasvc_killed_while_a_closing_put_is_in_flight(pusher: Pusher, in_flight: ThreadPoolExecutor) -> None:
    location = ready_to_close(pusher)

    with held_charges(pusher):
        closing = in_flight.submit(pusher.close, location, pusher.layer_digest)
        pusher.stored.rows.wait_for_a_held_write()
        pusher.check_unseen()
        pusher.services.kill("metasvc")
    assert_goes_on(pusher, "metasvc", closing)
    pusher.end()


@on_sqlite
def test_blobsvc_killed_while_a_closing_put_is_in_flight(pusher: Pusher, in_flight: ThreadPoolExecutor) -> None:
    location = ready_to_close(pusher)

    with held_upload(pusher, location):
        closing = in_flight.submit(pusher.close, location, pusher.layer_digest)
        # A finish polls the lock, and nothing shows that. So this waits for a short time.
        time.sleep(0.2)
        pusher.check_unseen()
        pusher.services.kill("blobsvc")
    assert_goes_on(pusher, "blobsvc", closing)
    pusher.end()


@on_both
def test_metasvc_killed_while_a_manifest_is_put(pusher: Pusher, in_flight: ThreadPoolExecutor) -> None:
    pusher.push_blob(pusher.layer)
    pusher.push_config()

    with held_charges(pusher):
        putting = in_flight.submit(pusher.put_manifest)
        pusher.stored.rows.wait_for_a_held_write()
        pusher.check_unseen(linked=True)
        pusher.services.kill("metasvc")
    assert_goes_on(pusher, "metasvc", putting)
    pusher.check_outcome()


@on_both
@pytest.mark.parametrize("request_name", ["closing PUT", "manifest"])
def test_the_gateway_killed_while_metasvc_commits(
    pusher: Pusher, in_flight: ThreadPoolExecutor, request_name: str
) -> None:
    location = ready_to_close(pusher)
    if request_name == "manifest":
        pusher.finish(location, pusher.layer_digest)

    def send() -> httpx.Response:
        return pusher.put_manifest() if request_name == "manifest" else pusher.close(location, pusher.layer_digest)

    with held_charges(pusher):
        sending: Future[httpx.Response] = in_flight.submit(send)
        pusher.stored.rows.wait_for_a_held_write()
        pusher.services.kill("gateway")
        with pytest.raises(httpx.TransportError):
            result_of(sending, "the end of the connection", seconds=WAIT_SECONDS)
    pusher.services.start("gateway")

    pusher.retried(send, 201)
    if request_name == "closing PUT":
        pusher.retried(pusher.put_manifest, 201)
    pusher.check_outcome()


@on_sqlite
@pytest.mark.parametrize("service", ["blobsvc", "metasvc"])
def test_a_service_killed_at_any_moment_of_a_closing_put(
    new_pusher: Callable[[], Pusher], in_flight: ThreadPoolExecutor, service: str
) -> None:
    for seconds in KILL_AFTER_SECONDS:
        pusher = new_pusher()
        location = ready_to_close(pusher)
        closing = in_flight.submit(pusher.close, location, pusher.layer_digest)
        # A sleep on purpose: the kill comes before the effect, between effect and answer, or after both.
        time.sleep(seconds)
        pusher.services.kill(service)
        assert_goes_on(pusher, service, closing)
        pusher.finish(location, pusher.layer_digest)
        pusher.end()


def ready_to_close(pusher: Pusher) -> str:
    """Pushes all but the end of the layer; returns the location of its upload."""
    # First, because metasvc makes a row for the project only now.
    pusher.push_config()
    location = pusher.begin()
    pusher.write(location, pusher.layer)
    return location


def assert_goes_on(pusher: Pusher, service: str, sending: "Future[httpx.Response]") -> None:
    """Restarts a service, and checks that a client with a request in flight does not notice it."""
    pusher.services.start(service)
    answer = result_of(sending, f"the answer after the restart of {service}", seconds=WAIT_SECONDS)
    assert answer.status_code == 201, answer.text


def held_charges(pusher: Pusher) -> AbstractContextManager[None]:
    project = pusher.repository.partition("/")[0]
    return pusher.stored.rows.held_charges(pusher.stored.project_id(project))


@contextmanager
def held_upload(pusher: Pusher, location: str) -> Iterator[None]:
    """Holds the lock on an upload's file, for which a finish waits."""
    upload_id = urlsplit(location).path.rpartition("/")[2]
    with (pusher.stored.data_dir / "blobsvc" / "uploads" / upload_id / "data").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
