"""One repository of the shared workspace, over plain HTTP: the requests of a client, step by step."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.harness import plain_http
from tests.harness.images import OCI_LAYER, OCI_MANIFEST, digest_of
from tests.harness.plain_http import NO_TLS
from tests.harness.raw_http import Headers, RawAnswer, RawConnection
from tests.harness.workspace import Login

EMPTY_CONFIG = b"{}"
EMPTY_MEDIA_TYPE = "application/vnd.oci.empty.v1+json"


class FaultError(AssertionError):
    """A status of 500 or more. No request of a client may cause one."""


@dataclass
class Repository:
    """A repository, and a token with all rights in it.

    Attributes:
        host: "127.0.0.1:PORT".
        name: full name.
        token: the registry token in use; set it to use another one.
        http: sends the token, and fails on a status of 500 or more.
    """

    host: str
    name: str
    token: str
    http: httpx.Client

    @property
    def path(self) -> str:
        """The path of the repository: "/v2/project/name"."""
        return f"/v2/{self.name}"

    def begin(self, query: str = "") -> str:
        """Begins an upload; returns its Location."""
        answer = self.http.post(f"{self.path}/blobs/uploads/{query}")
        assert answer.status_code == 202, answer.text
        location: str = answer.headers["Location"]
        return location

    def push_blob(self, content: bytes, algorithm: str = "sha256") -> str:
        """Pushes a blob by one POST; returns its digest."""
        digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        answer = self.http.post(f"{self.path}/blobs/uploads/", params={"digest": digest}, content=content)
        assert answer.status_code == 201, answer.text
        return digest

    def put(
        self, reference: str, content: bytes, media_type: str = OCI_MANIFEST, query: str = "", **headers: str
    ) -> httpx.Response:
        """Puts a manifest; a header is given with underscores: `If_Match`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.put(
            f"{self.path}/manifests/{reference}{query}", content=content, headers={"Content-Type": media_type, **named}
        )

    def get(self, reference: str, **headers: str) -> httpx.Response:
        """Gets a manifest."""
        return self.http.get(f"{self.path}/manifests/{reference}", headers=headers)

    def blob(self, digest: str, **headers: str) -> httpx.Response:
        """Gets a blob."""
        return self.http.get(f"{self.path}/blobs/{digest}", headers=headers)

    def tags(self, query: str = "") -> httpx.Response:
        """Lists tags."""
        return self.http.get(f"{self.path}/tags/list{query}")

    def tag_names(self, query: str = "") -> list[str]:
        """The names of the tags, as listed."""
        answer = self.tags(query)
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["tags"]
        return found

    def committed(self, location: str) -> str:
        """The Range of an unfinished upload."""
        answer = self.http.get(location)
        assert answer.status_code == 204, answer.text
        found: str = answer.headers["Range"]
        return found

    def finish(self, location: str, content: bytes, rest: bytes = b"") -> None:
        """Finishes an upload with its missing bytes, and checks that the blob is complete."""
        answer = self.http.put(closing(location, digest_of(content)), content=rest)
        assert answer.status_code == 201, answer.text
        assert self.blob(digest_of(content)).content == content

    def connect(self, **options: Any) -> RawConnection:
        """A connection that sends bytes unchanged."""
        return RawConnection(self.host, **options)

    def raw(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> RawAnswer:
        """One request with the token, on a connection of its own, and its answer."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        with self.connect() as connection:
            answer = connection.request(method, target, [("Authorization", f"Bearer {self.token}"), *pairs], body)
        refuse_fault(answer.status, f"{method} {target[:200]}")
        return answer

    def manifest(self, **changes: Any) -> dict[str, Any]:
        """A manifest that is complete once `EMPTY_CONFIG` is pushed, with these fields changed."""
        config = descriptor(EMPTY_CONFIG, EMPTY_MEDIA_TYPE)
        whole = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.thing",
            "config": config,
            "layers": [config],
        }
        return {name: value for name, value in {**whole, **changes}.items() if value is not None}


MakeRepository = Callable[..., Repository]


def closing(location: str, digest: str) -> str:
    """The target of the last PUT of an upload."""
    return f"{location}&digest={digest}"


def dumped(document: Any) -> bytes:
    """A document as JSON."""
    return json.dumps(document).encode()


def descriptor(content: bytes, media_type: str = OCI_LAYER) -> dict[str, Any]:
    """A descriptor of some bytes."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def token_for(http_url: str, login: Login | None, *scopes: str) -> str:
    """A registry token; of the anonymous caller if there is no login."""
    answer = plain_http.get(
        f"{http_url}/service/token",
        params=[("scope", scope) for scope in scopes],
        auth=login.basic if login else None,
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


@contextmanager
def open_repository(http_url: str, login: Login, name: str, scopes: Iterable[str] = ()) -> Iterator[Repository]:
    """Opens a repository inside the block.

    Args:
        http_url: of the installation.
        login: who may pull, push and delete there.
        name: full name.
        scopes: additional scopes of the token.
    """
    token = token_for(http_url, login, f"repository:{name}:pull,push,delete", *scopes)
    with httpx.Client(base_url=http_url, timeout=30, verify=NO_TLS, trust_env=False) as client:
        found = Repository(http_url.removeprefix("http://"), name, token, client)

        def add_token(request: httpx.Request) -> None:
            request.headers.setdefault("Authorization", f"Bearer {found.token}")

        client.event_hooks = {"request": [add_token], "response": [_refuse_fault]}
        yield found


def next_link(answer: httpx.Response) -> str | None:
    """The address of the next page; None on the last."""
    match = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
    return urljoin(str(answer.url), match[1]) if match else None


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    """The parameters of the Bearer challenge of a 401: each of them quoted, and nothing else."""
    assert answer.status_code == 401, answer.text
    scheme, _, parameters = answer.headers["WWW-Authenticate"].partition(" ")
    assert scheme == "Bearer"
    found = re.findall(r'(\w+)="([^"]*)"', parameters)
    assert ",".join(f'{name}="{value}"' for name, value in found) == parameters
    return dict(found)


def error_code(answer: httpx.Response) -> str:
    """The code of an error."""
    code: str = answer.json()["errors"][0]["code"]
    return code


def refuse_fault(status: int, what: str) -> None:
    """Fails on a status of 500 or more, except 501: an unknown transfer coding is the client's error (RFC 9112)."""
    if status >= 500 and status != 501:
        raise FaultError(f"{what}: {status}")


def _refuse_fault(answer: httpx.Response) -> None:
    refuse_fault(answer.status_code, f"{answer.request.method} {answer.request.url}")
