"""Pulls, pushes, log-ins and REST at a given rate, and the outcome of each request. No client tries again."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.harness.images import Image, digest_of, image
from tests.harness.plain_http import ANSWER_SECONDS, NO_TLS
from tests.harness.push import push
from tests.harness.workspace import Login

PULLED = "library/pulled"
PUSHED = "library/pushed"
_SCOPES = [f"repository:{PULLED}:pull", f"repository:{PUSHED}:pull,push"]


class PacedLoad:
    """The requests so far.

    Attributes:
        sent: how many.
        failed: those without a success: what, the status (0 without an answer), the text; and how often.
        began: when, by `time.monotonic`.
    """

    def __init__(self) -> None:
        """Starts without requests."""
        self.sent: Counter[str] = Counter()
        self.failed: Counter[tuple[str, int, str]] = Counter()
        self.began = time.monotonic()
        self.stop = threading.Event()

    @property
    def per_second(self) -> float:
        """How many requests have been answered in a second, on average."""
        return self.sent.total() / (time.monotonic() - self.began)


@contextmanager
def paced_load(http_urls: Sequence[str], login: Login, *, per_second: int) -> Iterator[PacedLoad]:
    """Sends requests inside the block.

    Of ten clients, four pull and two push with the token that they got at the start; one pushes with a new token for
    each image; two log in and pull; one reads over REST. Each takes the gateways in turn.

    Args:
        http_urls: of one gateway, or of several.
        login: may push to `library`.
        per_second: how many requests, of all clients together.
    """
    pulled = image(1, layers=3, layer_bytes=64 * 1024)
    push(http_urls[0], login, PULLED, pulled, "v1")
    load = PacedLoad()
    clients = [_Client(load, http_urls, login, 10 / per_second) for _ in range(10)]
    work: list[Callable[[], None]] = [
        *(lambda client=client: client.pull(pulled) for client in clients[:4]),
        *(client.push for client in clients[4:6]),
        *(client.log_in_and_push for client in clients[6:7]),
        *(client.log_in_and_pull for client in clients[7:9]),
        *(client.rest for client in clients[9:]),
    ]
    for client in clients:
        client.start()
    load.began = time.monotonic()
    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(_until_stopped, load, each) for each in work]
        try:
            yield load
        finally:
            load.stop.set()
            for each in running:
                each.result()
            for client in clients:
                client.close()


class _StoppedError(Exception):
    """The load is over."""


class _RefusedError(Exception):
    """A request failed. Those that need its answer are left out."""


def _until_stopped(load: PacedLoad, work: Callable[[], None]) -> None:
    while not load.stop.is_set():
        try:
            work()
        except _RefusedError:
            continue
        except _StoppedError:
            return


class _Client:
    """Sends a request each `pause_seconds`. One that is late sends the next ones without a pause."""

    def __init__(self, load: PacedLoad, http_urls: Sequence[str], login: Login, pause_seconds: float) -> None:
        self._load = load
        self._pause_seconds = pause_seconds
        self._https = [
            httpx.Client(base_url=url, timeout=ANSWER_SECONDS, trust_env=False, verify=NO_TLS) for url in http_urls
        ]
        self._turns = cycle(self._https)
        self._basic = httpx.BasicAuth(*login.basic)
        self._next_time = time.monotonic()
        self._token = self._new_token()

    def start(self) -> None:
        """Begins to keep the pace, at a moment that is not that of the other clients."""
        self._next_time = time.monotonic() + secrets.randbelow(1000) / 1000 * self._pause_seconds

    def close(self) -> None:
        for http in self._https:
            http.close()

    def pull(self, pulled: Image) -> None:
        self._send("GET manifest", "GET", f"/v2/{PULLED}/manifests/v1")
        for digest in pulled.blobs:
            self._send("HEAD blob", "HEAD", f"/v2/{PULLED}/blobs/{digest}")
            self._send("GET blob", "GET", f"/v2/{PULLED}/blobs/{digest}")

    def push(self) -> None:
        pushed = image(secrets.randbits(48), layers=1, layer_bytes=2048)
        for content in pushed.blobs.values():
            started = self._send("POST upload", "POST", f"/v2/{PUSHED}/blobs/uploads/")
            place = httpx.URL(urljoin(f"/v2/{PUSHED}/blobs/uploads/", started.headers["Location"]))
            path = httpx.URL(place.raw_path.decode()).copy_add_param("digest", digest_of(content))
            self._send("PUT upload", "PUT", path, content=content)
        headers = {"Content-Type": pushed.media_type}
        self._send("PUT manifest", "PUT", f"/v2/{PUSHED}/manifests/v1", content=pushed.manifest, headers=headers)

    def log_in_and_push(self) -> None:
        self._token = self._new_token()
        self.push()

    def log_in_and_pull(self) -> None:
        self._token = self._new_token()
        self._send("GET manifest", "GET", f"/v2/{PULLED}/manifests/v1")

    def rest(self) -> None:
        self._send("GET projects", "GET", "/api/v2.0/projects", auth=self._basic)
        self._send("GET user", "GET", "/api/v2.0/users/current", auth=self._basic)
        self._send("GET repositories", "GET", "/api/v2.0/projects/library/repositories", auth=self._basic)

    def _new_token(self) -> str:
        answer = self._send("GET token", "GET", "/service/token", params={"scope": _SCOPES}, auth=self._basic)
        token: str = answer.json()["token"]
        return token

    def _send(self, what: str, method: str, url: httpx.URL | str, **more: Any) -> httpx.Response:
        """The answer, if it is a success."""
        if self._load.stop.wait(max(0.0, self._next_time - time.monotonic())):
            raise _StoppedError
        self._next_time += self._pause_seconds
        if "auth" not in more:
            more["headers"] = {**more.get("headers", {}), "Authorization": f"Bearer {self._token}"}
        self._load.sent[what] += 1
        try:
            answer = next(self._turns).request(method, url, **more)
        except httpx.HTTPError as error:
            self._load.failed[what, 0, repr(error)] += 1
            raise _RefusedError from error
        if not answer.is_success:
            self._load.failed[what, answer.status_code, answer.text[:300]] += 1
            raise _RefusedError
        return answer
