"""What the Docker engine does on the wire: the challenge, the token, five layers at once by one chunked PATCH each.

`test_docker.py` drives the engine itself, which shows only whether it succeeded. Here its requests are made as it makes
them, and each answer is checked: no Content-Length and no Content-Range on the PATCH, an empty closing PUT with the
digest, absolute or relative Location followed as it came. They need neither root nor the engine.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx
import pytest

from tests.harness.images import DOCKER_MANIFEST, Image, image
from tests.harness.plain_http import NO_TLS
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

_CHUNK_BYTES = 32 * 1024
_LAYERS_AT_ONCE = 5


@dataclass
class Docker:
    """One login of the engine's."""

    client: httpx.Client
    login: Login

    def challenge(self, response: httpx.Response) -> dict[str, str]:
        """The parameters of a Bearer challenge."""
        assert response.status_code == 401
        scheme, _, parameters = response.headers["WWW-Authenticate"].partition(" ")
        assert scheme == "Bearer"
        return dict(re.findall(r'(\w+)="([^"]*)"', parameters))

    def token(self, *scopes: str) -> str:
        """Asks for a token as the challenge of `/v2/` says."""
        challenge = self.challenge(self.client.get("/v2/"))
        response = self.client.get(
            challenge["realm"],
            params=[
                ("account", self.login.name),
                ("client_id", "docker"),
                *(("scope", scope) for scope in scopes),
                ("service", challenge["service"]),
            ],
            auth=self.login.basic,
        )
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["access_token"] == answer["token"]
        token: str = answer["token"]
        return token

    def push_layer(self, repository: str, digest: str, content: bytes, headers: dict[str, str]) -> None:
        """HEAD, POST, one chunked PATCH, PUT."""
        assert self.client.head(f"/v2/{repository}/blobs/{digest}", headers=headers).status_code == 404
        started = self.client.post(f"/v2/{repository}/blobs/uploads/", headers=headers)
        assert started.status_code == 202, started.text
        location = urljoin(str(started.url), started.headers["Location"])

        written = self.client.patch(location, content=_chunks(content), headers=headers)
        assert "content-length" not in written.request.headers
        assert written.status_code == 202, written.text
        assert written.headers["Range"] == f"0-{len(content) - 1}"

        location = urljoin(str(written.url), written.headers["Location"])
        finished = self.client.put(httpx.URL(location).copy_add_param("digest", digest), headers=headers)
        assert finished.status_code == 201, finished.text
        assert finished.headers["Docker-Content-Digest"] == digest

    def push(self, repository: str, pushed: Image, tag: str) -> None:
        """Pushes an image, five layers at once."""
        token = self.token(f"repository:{repository}:push,pull")
        headers = {"Authorization": f"Bearer {token}"}
        with ThreadPoolExecutor(_LAYERS_AT_ONCE) as pool:
            layers = [layer["digest"] for layer in pushed.layers]
            for done in [
                pool.submit(self.push_layer, repository, digest, pushed.blobs[digest], headers) for digest in layers
            ]:
                done.result()
        config = pushed.config["digest"]
        self.push_layer(repository, config, pushed.blobs[config], headers)
        put = self.client.put(
            f"/v2/{repository}/manifests/{tag}",
            content=pushed.manifest,
            headers=headers | {"Content-Type": pushed.media_type},
        )
        assert put.status_code == 201, put.text
        assert put.headers["Docker-Content-Digest"] == pushed.digest


@pytest.fixture
def docker(workspace: Workspace, login: Login) -> Iterator[Docker]:
    """The engine, logged in."""
    with httpx.Client(base_url=workspace.http_url, timeout=60, trust_env=False, verify=NO_TLS) as client:
        yield Docker(client, login)


@pytest.fixture
def path(workspace: Workspace, repository: Callable[[str], str]) -> Callable[[str], str]:
    """Repository names without the host."""
    return lambda name: repository(name).removeprefix(f"{workspace.host}/")


def test_a_push_of_many_layers_and_its_pull(docker: Docker, path: Callable[[str], str]) -> None:
    pushed = image(201, layers=8, layer_bytes=3 * 1024 * 1024 + 17, docker=True)
    repository = path("app")

    docker.push(repository, pushed, "v1")

    headers = {"Authorization": f"Bearer {docker.token(f'repository:{repository}:pull')}"}
    pulled = docker.client.get(f"/v2/{repository}/manifests/v1", headers=headers | {"Accept": DOCKER_MANIFEST})
    assert pulled.content == pushed.manifest
    assert pulled.headers["Content-Type"] == DOCKER_MANIFEST
    assert pulled.headers["Docker-Content-Digest"] == pushed.digest
    for digest, content in pushed.blobs.items():
        assert docker.client.get(f"/v2/{repository}/blobs/{digest}", headers=headers).content == content


def test_a_challenge_names_the_host_that_was_asked(docker: Docker, workspace: Workspace) -> None:
    plain = docker.challenge(docker.client.get("/v2/"))
    with_scope = docker.challenge(docker.client.get(f"/v2/{workspace.project}/app/manifests/v1"))

    assert plain["realm"] == f"http://{workspace.host}/service/token"
    assert plain["service"] == "harbor-registry"
    assert with_scope["scope"] == f"repository:{workspace.project}/app:pull"


def test_a_token_that_lacks_the_right_is_asked_for_another(docker: Docker, path: Callable[[str], str]) -> None:
    repository = path("app")
    headers = {"Authorization": f"Bearer {docker.token(f'repository:{repository}:pull')}"}

    refused = docker.client.post(f"/v2/{repository}/blobs/uploads/", headers=headers)

    challenge = docker.challenge(refused)
    assert challenge["error"] == "insufficient_scope"
    assert set(challenge["scope"].rpartition(":")[2].split(",")) >= {"push"}


def test_a_failed_push_begins_again_at_byte_0(docker: Docker, path: Callable[[str], str]) -> None:
    pushed = image(202, layers=1, layer_bytes=200_000, docker=True)
    digest = pushed.layers[0]["digest"]
    content = pushed.blobs[digest]
    repository = path("again")
    headers = {"Authorization": f"Bearer {docker.token(f'repository:{repository}:push,pull')}"}
    started = docker.client.post(f"/v2/{repository}/blobs/uploads/", headers=headers)
    docker.client.patch(started.headers["Location"], content=_chunks(content[:100_000]), headers=headers)

    docker.push_layer(repository, digest, content, headers)

    assert docker.client.get(f"/v2/{repository}/blobs/{digest}", headers=headers).content == content


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]
