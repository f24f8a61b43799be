"""A registry client that repeats requests as real ones do when connections break or services are away."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from tests.harness.images import Image
from tests.harness.plain_http import NO_TLS
from tests.harness.soak.traffic import AWAY, Attempt, Traffic
from tests.harness.workspace import Login

# After this time, a repeated request counts as a finding.
PATIENCE_SECONDS = 90.0
_ANSWER_SECONDS = 40.0
_PAUSE_SECONDS = (0.02, 0.4)
# Clients have another address than the gateway: while it is away, none of their ports can be its port.
_CLIENT_ADDRESS = "127.0.0.2"
_PATCH_BYTES = (64 * 1024, 512 * 1024)


class Surprise(Exception):
    """An unexpected answer. The text is the finding."""


class Refused(Exception):
    """The project's quota is full."""


class RegistryClient:
    """One user's client."""

    def __init__(self, http_url: str, login: Login, traffic: Traffic, chance: random.Random) -> None:
        """Takes its login, the record of its requests, and the source of randomness."""
        self._login = login
        self._traffic = traffic
        self._chance = chance
        self._http = httpx.Client(
            base_url=http_url,
            timeout=_ANSWER_SECONDS,
            transport=httpx.HTTPTransport(local_address=_CLIENT_ADDRESS, verify=NO_TLS),
        )

    def log_in(self, *scopes: str) -> None:
        """Gets a token for what comes next, as docker does for each push and pull."""
        query = {"service": "harbor-registry", "scope": list(scopes)}
        answer = self.ask("GET", "/service/token", 200, params=query, auth=self._login.basic)
        self._http.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def has_blob(self, repository: str, digest: str) -> bool:
        """HEAD of a blob."""
        return self.ask("HEAD", f"/v2/{repository}/blobs/{digest}", 200, 404).status_code == 200

    def blob(self, repository: str, digest: str) -> bytes | None:
        """GET of a blob; None where there is none."""
        answer = self.ask("GET", f"/v2/{repository}/blobs/{digest}", 200, 404)
        return answer.content if answer.status_code == 200 else None

    def manifest(self, repository: str, reference: str) -> bytes | None:
        """GET of a manifest; None where there is none."""
        answer = self.ask("GET", f"/v2/{repository}/manifests/{reference}", 200, 404)
        return answer.content if answer.status_code == 200 else None

    def tags(self, repository: str) -> list[str]:
        """The names of a repository's tags; none where there is no such repository."""
        answer = self.ask("GET", f"/v2/{repository}/tags/list", 200, 404)
        return list(answer.json()["tags"]) if answer.status_code == 200 else []

    def put_manifest(self, repository: str, reference: str, image: Image, tags: Sequence[str] = ()) -> bool:
        """PUT of a manifest; False where it names something that is not there (any more).

        Raises:
            Refused: the quota.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        headers = {"Content-Type": image.media_type}
        answer = self.ask("PUT", path, 201, 400, 403, content=image.manifest, headers=headers, params={"tag": tags})
        if answer.status_code == 201:
            return True
        self._expect(answer, {400: "MANIFEST_BLOB_UNKNOWN", 403: "DENIED"})
        return False

    def delete_manifest(self, repository: str, reference: str, *expected: int) -> None:
        """DELETE of a tag or manifest; it says 404 also where an earlier attempt did it and its answer was lost."""
        self.ask("DELETE", f"/v2/{repository}/manifests/{reference}", *expected, again=404)

    def delete_repository(self, repository: str, *expected: int) -> None:
        """Deletes a repository with all that is in it, over the REST API."""
        project, _, name = repository.partition("/")
        path = f"/api/v2.0/projects/{project}/repositories/{quote(name, safe='')}"
        self.ask("DELETE", path, *expected, again=404, auth=self._login.basic)

    def create_project(self, project: str) -> None:
        """Creates a project, over the REST API."""
        body = {"project_name": project}
        self.ask("POST", "/api/v2.0/projects", 201, again=409, json=body, auth=self._login.basic)

    def delete_project(self, project: str) -> None:
        """Deletes an empty project, over the REST API."""
        self.ask("DELETE", f"/api/v2.0/projects/{project}", 200, again=404, auth=self._login.basic)

    def has_project(self, project: str) -> bool:
        """Whether there is a project, over the REST API."""
        path = f"/api/v2.0/projects/{project}"
        return self.ask("GET", path, 200, 404, auth=self._login.basic).status_code == 200

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Mounts a blob of another repository; False where it has to be uploaded."""
        query = {"mount": digest, "from": source}
        return self.ask("POST", f"/v2/{repository}/blobs/uploads/", 201, 202, params=query).status_code == 201

    def abandon_upload(self, repository: str, content: bytes) -> None:
        """Begins an upload, and abandons or cancels it."""
        location = self._begin(repository)
        self._try("PATCH", location, content=content[: len(content) // 2])
        if self._chance.random() < 0.5:
            self.ask("DELETE", location, 204, 409, again=404)

    def push_blob(self, repository: str, digest: str, content: bytes) -> None:
        """Uploads a blob, in one of the ways that the spec knows, until it is there.

        Raises:
            Refused: the quota.
        """
        ways: Sequence[Callable[[str, str, bytes], bool]] = (self._in_one_post, self._in_one_put, self._in_pieces)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._chance.choice(ways)(repository, digest, content):
            if time.monotonic() > deadline:
                raise Surprise(f"no upload of {digest} to {repository} came to its end")

    def ask(self, method: str, path: str, *expected: int, again: int | None = None, **sent: Any) -> httpx.Response:
        """Repeats a request until it is answered.

        Args:
            method: of the request.
            path: of the request.
            expected: the statuses that the answer may have.
            again: one more, if an earlier attempt may have done it, and its answer was lost. If something was away, the
                gateway may have made that attempt: it repeats calls of services that have ended in the middle.
            sent: what httpx takes.

        Raises:
            Surprise: the answer is not among those expected, or does not come.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            begun = time.monotonic()
            answer = self._try(method, path, **sent)
            if again is not None and (answer is None or self._traffic.something_was_away(begun, time.monotonic())):
                expected = (*expected, again)
            if answer is not None:
                break
            if time.monotonic() > deadline:
                raise Surprise(f"no answer to {method} {path}")
        if answer.status_code not in expected:
            raise Surprise(_said(answer))
        return answer

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def _try(self, method: str, path: str, **sent: Any) -> httpx.Response | None:
        """One attempt. Returns None after a short wait if the connection broke or a service was away."""
        begun = time.monotonic()
        try:
            answer = self._http.request(method, path, **sent)
            outcome: int | str = answer.status_code
        except httpx.TransportError as error:
            answer, outcome = None, type(error).__name__
        self._traffic.note(Attempt(begun, time.monotonic(), method, path.partition("?")[0], outcome))
        if answer is not None and answer.status_code not in AWAY:
            return answer
        time.sleep(self._chance.uniform(*_PAUSE_SECONDS))
        return None

    def _begin(self, repository: str) -> str:
        return str(self.ask("POST", f"/v2/{repository}/blobs/uploads/", 202).headers["Location"])

    def _in_one_post(self, repository: str, digest: str, content: bytes) -> bool:
        path = f"/v2/{repository}/blobs/uploads/"
        return self._is_stored(self._try("POST", path, params={"digest": digest}, content=content), digest)

    def _in_one_put(self, repository: str, digest: str, content: bytes) -> bool:
        location = httpx.URL(self._begin(repository)).copy_add_param("digest", digest)
        return self._is_stored(self._try("PUT", str(location), content=content), digest)

    def _in_pieces(self, repository: str, digest: str, content: bytes) -> bool:
        location = self._begin(repository)
        offset = 0
        while offset < len(content):
            piece = content[offset : offset + self._chance.randint(*_PATCH_BYTES)]
            span = f"{offset}-{offset + len(piece) - 1}"
            answer = self._try("PATCH", location, content=piece, headers={"Content-Range": span})
            if answer is None or answer.status_code == 409:
                if self._chance.random() < 0.5:
                    # Docker starts a new upload; others ask for the size of the present one.
                    return False
                answer = self.ask("GET", location, 204)
            if answer.status_code not in {202, 204, 416}:
                raise Surprise(f"{span}: {_said(answer)}")
            # "0-0" is said of nothing as well; a piece has more than one byte.
            last = int(answer.headers["Range"].partition("-")[2])
            offset = last + 1 if last else 0
        # The answer may be lost. A repeat with the same ticket gives the same receipt.
        closing = str(httpx.URL(location).copy_add_param("digest", digest))
        return self._is_stored(self.ask("PUT", closing, 201, 403), digest)

    def _is_stored(self, answer: httpx.Response | None, digest: str) -> bool:
        if answer is None or answer.status_code == 409:
            return False
        if answer.status_code == 201 and answer.headers["Docker-Content-Digest"] == digest:
            return True
        self._expect(answer, {403: "DENIED"})
        return False

    @staticmethod
    def _expect(answer: httpx.Response, codes: dict[int, str]) -> None:
        code = codes.get(answer.status_code)
        if code is None or answer.json()["errors"][0]["code"] != code:
            raise Surprise(_said(answer))
        if code == "DENIED":
            raise Refused(answer.text)


def _said(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}"
