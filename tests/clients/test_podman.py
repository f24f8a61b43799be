"""podman: build, push in each format, pull, lists of platforms, and the tags of a repository."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.containers import containers_client
from tests.harness.images import OCI_INDEX, digest_of, image, index, write_oci_layout
from tests.harness.programs import Client
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

_PLAIN = "--tls-verify=false"

Named = Callable[[str], str]


def _log_in(podman: Client, workspace: Workspace, login: Login) -> None:
    podman.run("login", _PLAIN, "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)


def _build(podman: Client, tmp_path: Path, name: str, *options: str) -> None:
    context = tmp_path / "context"
    context.mkdir(exist_ok=True)
    (context / "file").write_text(f"of {name}\n")
    (context / "Containerfile").write_text("FROM scratch\nCOPY file /file\nLABEL by=podman\n")
    podman.run("build", *options, "--tag", name, str(context))


def _layers(podman: Client, name: str) -> list[str]:
    found: list[str] = json.loads(podman.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", name))
    return found


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("--format=oci",), id="oci"),
        pytest.param(("--format=docker",), id="schema2"),
        pytest.param(("--format=oci", "--compression-format=zstd"), id="zstd"),
        pytest.param(("--format=oci", "--compression-format=zstd:chunked"), id="zstd-chunked"),
    ],
)
def test_what_is_built_is_pushed_and_comes_back(
    podman: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path, how: tuple[str, ...]
) -> None:
    _log_in(podman, workspace, login)
    name = f"{repository('app')}:v1"
    _build(podman, tmp_path, name)
    layers = _layers(podman, name)

    podman.run("push", _PLAIN, *how, "--digestfile", str(tmp_path / "digest"), name)
    podman.run("image", "rm", "--force", name)
    podman.run("pull", _PLAIN, name)

    digest = (tmp_path / "digest").read_text()
    assert podman.run("image", "inspect", "--format", "{{.Digest}}", name).strip() == digest
    assert _layers(podman, name) == layers
    podman.run("image", "rm", "--force", name)
    podman.run("pull", _PLAIN, f"{repository('app')}@{digest}")


def test_a_list_of_platforms_is_pushed_whole_and_pulled_by_platform(
    podman: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    _log_in(podman, workspace, login)
    multi = index(image(number, architecture=name) for number, name in enumerate(("amd64", "arm64"), 410))
    layout = write_oci_layout(tmp_path / "layout", multi)
    name = f"{repository('multi')}:v1"

    podman.run("manifest", "create", "--all", name, f"oci:{layout}:latest")
    podman.run("manifest", "push", _PLAIN, "--all", "--digestfile", str(tmp_path / "digest"), name, f"docker://{name}")
    podman.run("manifest", "rm", name)

    # podman 4.3 looks into no list over plain HTTP. skopeo reads the same login.
    skopeo = containers_client("skopeo", tmp_path / "podman-home")
    raw = skopeo.run("inspect", _PLAIN, "--raw", f"docker://{name}")
    assert digest_of(raw.encode()) == (tmp_path / "digest").read_text()
    document = json.loads(raw)
    assert document["mediaType"] == OCI_INDEX
    assert [child["digest"] for child in document["manifests"]] == [child.digest for child in multi.children]
    for child in multi.children:
        podman.run("pull", _PLAIN, "--arch", child.platform["architecture"], name)
        names = json.loads(podman.run("image", "inspect", "--format", "{{json .RepoDigests}}", name))
        assert f"{repository('multi')}@{child.digest}" in names


def test_search_lists_the_tags(
    podman: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    _log_in(podman, workspace, login)
    name = repository("tagged")
    _build(podman, tmp_path, f"{name}:v1")
    for tag in ("v1", "v2"):
        podman.run("push", _PLAIN, f"{name}:v1", f"docker://{name}:{tag}")

    listed = podman.json("search", _PLAIN, "--list-tags", "--format", "json", name)

    assert listed == [{"Name": name, "Tags": ["v1", "v2"]}]
