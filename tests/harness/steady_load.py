"""Pulls and small pushes without pause, and the outcome of each request."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx

from tests.harness.images import Image, digest_of, image
from tests.harness.push import push
from tests.harness.workspace import Login

_ANSWER_SECONDS = 30.0
# A refused client waits before it tries again. Otherwise a client that is refused quickly would send most requests.
_PAUSE_SECONDS = 0.02
_READY_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Outcome:
    """One request.

    Attributes:
        what: "GET manifest" and the like.
        status: of the answer; 0 where there was none.
        retry_after: the header, if any.
        ended: when, by `time.monotonic`.
        text: of an answer that is no success, or of the error.
    """

    what: str
    status: int
    retry_after: str | None
    ended: float
    text: str = ""

    @property
    def is_success(self) -> bool:
        """Whether it was served."""
        return 200 <= self.status < 300

    @property
    def is_allowed(self) -> bool:
        """Whether it was served, or asked to try again later."""
        return self.is_success or (self.status == 503 and self.retry_after is not None)


@dataclass
class SteadyLoad:
    """The requests so far.

    Attributes:
        outcomes: of all requests.
        ready: each answer of /readyz: when, its status, its text.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    ready: list[tuple[float, int, str]] = field(default_factory=list)

    def refused(self) -> Counter[tuple[str, int, str]]:
        """The requests that were neither served nor asked to try again later, and how often."""
        return Counter((each.what, each.status, each.text[:300]) for each in self.outcomes if not each.is_allowed)

    def between(self, began: float, ended: float) -> list[Outcome]:
        """The requests that ended in a period."""
        return [each for each in self.outcomes if began <= each.ended < ended]


@contextmanager
def steady_load(http_url: str, login: Login, *, pullers: int = 2, pushers: int = 2) -> Iterator[SteadyLoad]:
    """Pulls and pushes inside the block.

    Args:
        http_url: of the gateway.
        login: may push to `library`.
        pullers: how many clients pull, one layer after the other. Half of the requests come with a password, so that
            authsvc is asked as well.
        pushers: how many push layers and manifests of their own.
    """
    pulled = image(1, layers=3, layer_bytes=64 * 1024)
    push(http_url, login, "library/pulled", pulled, "v1")
    load, stop = SteadyLoad(), threading.Event()
    with ThreadPoolExecutor(pullers + pushers + 1) as pool:
        running = [pool.submit(_Client(http_url, login, load, stop).pull, pulled) for _ in range(pullers)]
        running += [pool.submit(_Client(http_url, login, load, stop).push) for _ in range(pushers)]
        running.append(pool.submit(_watch_readiness, http_url, load, stop))
        try:
            yield load
        finally:
            stop.set()
            for each in running:
                each.result()


class _Client:
    def __init__(self, http_url: str, login: Login, load: SteadyLoad, stop: threading.Event) -> None:
        self._load = load
        self._stop = stop
        self._basic = httpx.BasicAuth(*login.basic)
        self._http = httpx.Client(base_url=http_url, timeout=_ANSWER_SECONDS, trust_env=False)
        scopes = ["repository:library/pulled:pull", "repository:library/pushed:pull,push"]
        answer = self._http.get("/service/token", params={"scope": scopes}, auth=self._basic)
        assert answer.status_code == 200, answer.text
        self._bearer = f"Bearer {answer.json()['token']}"

    def pull(self, pulled: Image) -> None:
        with closing(self._http):
            while not self._stop.is_set():
                self._send("GET manifest", "GET", "/v2/library/pulled/manifests/v1")
                self._send("GET manifest by password", "GET", "/v2/library/pulled/manifests/v1", auth=self._basic)
                for digest in pulled.blobs:
                    self._send("HEAD blob", "HEAD", f"/v2/library/pulled/blobs/{digest}")
                    self._send("GET blob", "GET", f"/v2/library/pulled/blobs/{digest}")

    def push(self) -> None:
        with closing(self._http):
            while not self._stop.is_set():
                pushed = image(secrets.randbits(48), layers=1, layer_bytes=2048)
                # A client that is asked to try again starts from the beginning, as real clients do.
                if all(self._push_blob(content) for content in pushed.blobs.values()):
                    self._send(
                        "PUT manifest",
                        "PUT",
                        "/v2/library/pushed/manifests/v1",
                        content=pushed.manifest,
                        headers={"Content-Type": pushed.media_type},
                    )

    def _push_blob(self, content: bytes) -> bool:
        started = self._send("POST upload", "POST", "/v2/library/pushed/blobs/uploads/")
        if started is None:
            return False
        place = httpx.URL(urljoin(str(started.url), started.headers["Location"]))
        return (
            self._send("PUT upload", "PUT", place.copy_add_param("digest", digest_of(content)), content=content)
            is not None
        )

    def _send(
        self,
        what: str,
        method: str,
        url: httpx.URL | str,
        *,
        auth: httpx.Auth | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """The answer, if it is a success."""
        sent = {**({} if auth else {"Authorization": self._bearer}), **(headers or {})}
        try:
            answer = self._http.request(method, url, auth=auth, content=content, headers=sent)
        except httpx.HTTPError as error:
            self._note(Outcome(what, 0, None, time.monotonic(), repr(error)))
            return None
        text = "" if answer.is_success else answer.text
        retry_after = answer.headers.get("Retry-After")
        self._note(Outcome(what, answer.status_code, retry_after, time.monotonic(), text))
        return answer if answer.is_success else None

    def _note(self, outcome: Outcome) -> None:
        self._load.outcomes.append(outcome)
        if not outcome.is_success:
            self._stop.wait(_PAUSE_SECONDS)


def _watch_readiness(http_url: str, load: SteadyLoad, stop: threading.Event) -> None:
    with httpx.Client(base_url=http_url, timeout=_ANSWER_SECONDS, trust_env=False) as http:
        while not stop.wait(_READY_EVERY_SECONDS):
            answer = http.get("/readyz")
            load.ready.append((time.monotonic(), answer.status_code, answer.text))
