"""Layers that are not in the registry: what clients do with an image that names one by its URL.

The registry stores such a manifest without the bytes of the layer, and answers 404 for them. A client that pushes
leaves them out; one that pulls downloads them from the URL, or fails. Docker on Linux asks the registry only, and crane
refuses addresses of the local network. A registry that has the bytes all the same, because a client was told to push
them, serves them.
"""

import http.server
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness import plain_http
from tests.harness.images import Image, digest_of, image, with_foreign_layer, write_dir_layout, write_oci_layout
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

_PLAIN = "--insecure"

Named = Callable[[str], str]


@dataclass
class Elsewhere:
    """A web server that has one layer.

    Attributes:
        content: the bytes of the layer.
        agents: the programs that have downloaded it, one for each request.
    """

    content: bytes = b""
    agents: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A web server on loopback, outside of the registry."""
    place = Elsewhere()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place.agents.append(self.headers["User-Agent"].partition("/")[0])
            self.send_response(200)
            self.send_header("Content-Length", str(len(place.content)))
            self.end_headers()
            self.wfile.write(place.content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        place.url = f"http://127.0.0.1:{server.server_port}/layer.tar.gz"
        yield place
        server.shutdown()
        thread.join()


@pytest.fixture(params=["oci", "docker"])
def foreign(request: pytest.FixtureRequest, elsewhere: Elsewhere) -> Image:
    """An image of two layers, the second of which is on the web server."""
    # Another layer for each test: containerd shares what it has downloaded between namespaces.
    whole = image(zlib.crc32(request.node.name.encode()), docker=request.param == "docker")
    changed, elsewhere.content = with_foreign_layer(whole, elsewhere.url)
    return changed


@dataclass
class Registry:
    """What the registry holds of the image."""

    workspace: Workspace
    foreign: Image

    def check(self, name: str, *, has_bytes: bool = False) -> None:
        """Fails unless it has the manifest as it was, and the bytes of the foreign layer only if it should."""
        repository, _, tag = name.removeprefix(f"{self.workspace.host}/").rpartition(":")
        url = f"{self.workspace.http_url}/v2/{repository}"
        login = self.workspace.maintainer.basic
        accept = {"Accept": self.foreign.media_type}
        manifest = plain_http.get(f"{url}/manifests/{tag}", auth=login, headers=accept)
        assert manifest.content == self.foreign.manifest
        layer = plain_http.request("HEAD", f"{url}/blobs/{self.foreign.layers[-1]['digest']}", auth=login)
        assert layer.status_code == (200 if has_bytes else 404)


@pytest.fixture
def registry(workspace: Workspace, foreign: Image) -> Registry:
    """The registry."""
    return Registry(workspace, foreign)


@pytest.fixture
def pushed(workspace: Workspace, repository: Named, foreign: Image) -> str:
    """The image in the private project, under its name with a tag."""
    name = repository("pushed")
    push(workspace.http_url, workspace.maintainer, name.removeprefix(f"{workspace.host}/"), foreign, "v1")
    return f"{name}:v1"


def _log_in_crane(crane: Client, workspace: Workspace, login: Login) -> None:
    crane.run("auth", "login", workspace.host, "-u", login.name, "--password-stdin", input_text=login.secret)


def _log_in(client: Client, workspace: Workspace, login: Login) -> None:
    client.run(
        *("login", "--tls-verify=false", "--username", login.name, "--password-stdin", workspace.host),
        input_text=login.secret,
    )


def _user(workspace: Workspace) -> tuple[str, str]:
    return ("--user", f"{workspace.maintainer.name}:{workspace.maintainer.secret}")


def test_skopeo_pushes_and_copies_without_the_bytes_and_pulls_them_from_their_url(
    skopeo: Client, registry: Registry, login: Login, repository: Named, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    _log_in(skopeo, registry.workspace, login)
    first, second = f"{repository('first')}:v1", f"{repository('second')}:v1"
    source = write_dir_layout(tmp_path / "in", registry.foreign)
    copy = ("copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false")

    skopeo.run(*copy, f"dir:{source}", f"docker://{first}")
    skopeo.run(*copy, f"docker://{first}", f"docker://{second}")
    for name in (first, second):
        registry.check(name)
    assert elsewhere.agents == []
    skopeo.run(*copy, f"docker://{second}", f"dir:{tmp_path / 'out'}")

    assert (tmp_path / "out" / "manifest.json").read_bytes() == registry.foreign.manifest
    layer = registry.foreign.layers[-1]["digest"].removeprefix("sha256:")
    assert (tmp_path / "out" / layer).read_bytes() == elsewhere.content
    assert elsewhere.agents == ["skopeo"]


def test_podman_pulls_the_bytes_from_their_url_and_pushes_them_without_it(
    *, podman: Client, skopeo: Client, pushed: str, workspace: Workspace, login: Login, repository: Named,
    elsewhere: Elsewhere, foreign: Image,
) -> None:  # fmt: skip
    for client in (podman, skopeo):
        _log_in(client, workspace, login)

    podman.run("pull", "--tls-verify=false", pushed)

    assert podman.run("image", "inspect", "--format", "{{.Digest}}", pushed).strip() == foreign.digest
    assert elsewhere.agents == ["containers"]
    other = f"docker://{repository('other')}:v1"
    podman.run("push", "--tls-verify=false", pushed, other)
    document = json.loads(skopeo.run("inspect", "--tls-verify=false", "--raw", other))
    layer = document["layers"][-1]
    assert layer["mediaType"] == foreign.layers[-1]["mediaType"]
    assert "urls" not in layer
    path = other.removeprefix(f"docker://{workspace.host}/").removesuffix(":v1")
    url = f"{workspace.http_url}/v2/{path}/blobs/{layer['digest']}"
    assert digest_of(plain_http.get(url, auth=login.basic).content) == layer["digest"]


def test_crane_pushes_and_copies_without_the_bytes_and_reads_no_url_of_the_local_network(
    crane: Client, registry: Registry, login: Login, repository: Named, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    _log_in_crane(crane, registry.workspace, login)
    first, second = f"{repository('first')}:v1", f"{repository('second')}:v1"

    crane.run("push", _PLAIN, str(write_oci_layout(tmp_path / "in", registry.foreign)), first)
    crane.run("copy", _PLAIN, first, second)
    for name in (first, second):
        registry.check(name)
    refused = crane.attempt("pull", _PLAIN, "--format", "oci", second, str(tmp_path / "out"))

    assert refused.returncode != 0
    assert 'foreign layer URL host "127.0.0.1" is a private or link-local address' in refused.stderr
    assert elsewhere.agents == []


def test_containerd_pulls_the_bytes_from_their_url_and_pushes_without_them(
    ctr: Client, pushed: str, registry: Registry, repository: Named, elsewhere: Elsewhere
) -> None:
    other = f"{repository('other')}:v1"

    ctr.run("images", "pull", "--plain-http", *_user(registry.workspace), pushed)
    assert elsewhere.agents == ["containerd"]
    assert "complete" in ctr.run("images", "check", f"name=={pushed}")
    ctr.run("images", "push", "--plain-http", *_user(registry.workspace), other, pushed)

    registry.check(other)


def test_docker_asks_the_registry_only_and_says_what_is_missing(
    docker: Client, pushed: str, workspace: Workspace, elsewhere: Elsewhere
) -> None:
    login = workspace.maintainer
    docker.run("login", "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)

    refused = docker.attempt("pull", pushed)

    assert refused.returncode != 0
    assert "unknown blob" in refused.stderr
    assert elsewhere.agents == []


def test_bytes_that_were_pushed_all_the_same_are_served_to_all(
    *, ctr: Client, docker: Client, crane: Client, pushed: str, registry: Registry, repository: Named, tmp_path: Path
) -> None:
    workspace, login = registry.workspace, registry.workspace.maintainer
    whole = f"{repository('whole')}:v1"
    ctr.run("images", "pull", "--plain-http", *_user(workspace), pushed)
    ctr.run("images", "push", "--plain-http", "--allow-non-distributable-blobs", *_user(workspace), whole, pushed)
    registry.check(whole, has_bytes=True)
    layer = registry.foreign.layers[-1]["digest"]
    path = whole.removeprefix(f"{workspace.host}/").removesuffix(":v1")
    url = f"{workspace.http_url}/v2/{path}/blobs/{layer}"
    assert plain_http.request("DELETE", url, auth=login.basic).status_code == 405

    docker.run("login", "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)
    assert registry.foreign.digest in docker.run("pull", whole)
    docker.run("image", "rm", whole)
    _log_in_crane(crane, workspace, login)
    crane.run("pull", _PLAIN, "--format", "oci", whole, str(tmp_path / "out"))

    assert digest_of((tmp_path / "out" / "blobs" / "sha256" / layer.removeprefix("sha256:")).read_bytes()) == layer
