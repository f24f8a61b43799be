"""skopeo, as platform teams use it: copy every kind of image in and out, look, delete."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.images import Image, digest_of, image, index, write_dir_layout, write_oci_layout
from tests.harness.programs import Client
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

# skopeo wants a policy for what it may accept, and Debian's lies where other HOMEs do not see it.
_ANY = "--insecure-policy"
_PLAIN_IN, _PLAIN_OUT, _PLAIN = "--src-tls-verify=false", "--dest-tls-verify=false", "--tls-verify=false"

Named = Callable[[str], str]


def _log_in(skopeo: Client, workspace: Workspace, login: Login) -> None:
    skopeo.run("login", _PLAIN, "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)


def _manifest_of(folder: Path) -> bytes:
    return (folder / "manifest.json").read_bytes()


def _blobs_of(folder: Path) -> set[str]:
    return {digest_of(path.read_bytes()) for path in folder.iterdir() if len(path.name) == 64}


def test_an_index_goes_in_and_out_with_all_platforms(
    skopeo: Client, workspace: Workspace, repository: Named, tmp_path: Path
) -> None:
    multi = index(image(number, architecture=name) for number, name in enumerate(("amd64", "arm64", "s390x"), 10))
    _log_in(skopeo, workspace, workspace.maintainer)
    source = write_oci_layout(tmp_path / "in", multi)
    name = repository("multi")

    skopeo.run("copy", _ANY, "--all", _PLAIN_OUT, f"oci:{source}:latest", f"docker://{name}:v1")
    skopeo.run("copy", _ANY, "--all", _PLAIN_IN, f"docker://{name}:v1", f"oci:{tmp_path / 'out'}:latest")

    entry = json.loads((tmp_path / "out" / "index.json").read_bytes())["manifests"][0]
    assert entry["digest"] == multi.digest
    stored = {path.name for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    wanted = {*multi.blobs, multi.digest, *(child.digest for child in multi.children)}
    assert stored == {digest.removeprefix("sha256:") for digest in wanted}


@pytest.mark.parametrize(
    "pushed", [pytest.param(image(20, docker=True), id="schema2"), pytest.param(image(21, layers=40), id="40-layers")]
)
def test_other_images_keep_their_digest(
    skopeo: Client, workspace: Workspace, repository: Named, tmp_path: Path, pushed: Image
) -> None:
    _log_in(skopeo, workspace, workspace.maintainer)
    source = write_dir_layout(tmp_path / "in", pushed)
    name = repository("other")

    skopeo.run("copy", _ANY, _PLAIN_OUT, f"dir:{source}", f"docker://{name}:v1")
    skopeo.run("copy", _ANY, _PLAIN_IN, f"docker://{name}@{pushed.digest}", f"dir:{tmp_path / 'out'}")

    assert _manifest_of(tmp_path / "out") == pushed.manifest
    assert _blobs_of(tmp_path / "out") == set(pushed.blobs)


def test_inspect_and_list_tags_tell_what_is_there(
    skopeo: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    pushed = image(30)
    _log_in(skopeo, workspace, login)
    source = write_oci_layout(tmp_path / "in", pushed)
    name = repository("looked-at")
    for tag in ("v2", "v1", "latest"):
        skopeo.run("copy", _ANY, _PLAIN_OUT, f"oci:{source}:latest", f"docker://{name}:{tag}")

    seen = skopeo.json("inspect", _PLAIN, f"docker://{name}:v1")
    tags = skopeo.json("list-tags", _PLAIN, f"docker://{name}")

    assert isinstance(seen, dict)
    assert isinstance(tags, dict)
    assert seen["Digest"] == pushed.digest
    assert seen["Layers"] == [layer["digest"] for layer in pushed.layers]
    assert seen["Architecture"] == "amd64"
    assert tags["Tags"] == ["latest", "v1", "v2"]


def test_what_is_deleted_is_gone(
    skopeo: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    _log_in(skopeo, workspace, login)
    source = write_oci_layout(tmp_path / "in", image(40))
    name = repository("deleted")
    skopeo.run("copy", _ANY, _PLAIN_OUT, f"oci:{source}:latest", f"docker://{name}:v1")

    skopeo.run("delete", _PLAIN, f"docker://{name}:v1")

    gone = skopeo.attempt("inspect", _PLAIN, f"docker://{name}:v1")
    assert gone.returncode != 0
    assert "manifest unknown" in gone.stderr
