"""`skopeo sync`: whole repositories out to a folder, back in, and from one project to another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.images import Image, image, index
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import MAINTAINER, Login, Management, Workspace

pytestmark = pytest.mark.clients

# skopeo wants a policy for what it may accept, and Debian's lies where other HOMEs do not see it.
_SYNC = ("sync", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false")

Named = Callable[[str], str]

_MULTI = index(image(number, architecture=name) for number, name in enumerate(("amd64", "arm64"), 421))
_TAGGED: dict[str, Image] = {"v1": image(420), "v2": _MULTI, "v3": image(423, docker=True)}


@pytest.fixture
def synced(workspace: Workspace, repository: Named) -> str:
    """A repository with three tags: an OCI image, an index, and a schema 2 image."""
    name = repository("source")
    for tag, tagged in _TAGGED.items():
        push(workspace.http_url, workspace.maintainer, name.removeprefix(f"{workspace.host}/"), tagged, tag)
    return name


def _log_in(skopeo: Client, workspace: Workspace, login: Login) -> None:
    skopeo.run(
        *("login", "--tls-verify=false", "--username", login.name, "--password-stdin", workspace.host),
        input_text=login.secret,
    )


def _digests(skopeo: Client, name: str) -> dict[str, str]:
    """The digest of each tag."""
    listed = skopeo.json("list-tags", "--tls-verify=false", f"docker://{name}")
    assert isinstance(listed, dict)
    inspect = ("inspect", "--tls-verify=false", "--format", "{{.Digest}}")
    return {tag: skopeo.run(*inspect, f"docker://{name}:{tag}").strip() for tag in listed["Tags"]}


def _expected() -> dict[str, str]:
    return {tag: tagged.digest for tag, tagged in _TAGGED.items()}


def test_a_repository_goes_to_a_folder_and_comes_back(
    skopeo: Client, workspace: Workspace, login: Login, repository: Named, synced: str, tmp_path: Path
) -> None:
    _log_in(skopeo, workspace, login)
    folder = tmp_path / "synced"

    skopeo.run(*_SYNC, "--all", "--src", "docker", "--dest", "dir", synced, str(folder))
    assert sorted(path.name for path in folder.iterdir()) == [f"source:{tag}" for tag in _TAGGED]
    back = repository("back")
    skopeo.run(*_SYNC, "--all", "--src", "dir", "--dest", "docker", str(folder), back)

    assert _digests(skopeo, f"{back}/source") == _expected()


def test_a_repository_goes_to_another_project(
    skopeo: Client, workspace: Workspace, management: Management, repository: Named, synced: str
) -> None:
    project = management.create_project()
    management.add_member(project, workspace.maintainer, MAINTAINER)
    _log_in(skopeo, workspace, workspace.maintainer)

    skopeo.run(*_SYNC, "--all", "--src", "docker", "--dest", "docker", synced, f"{workspace.host}/{project}")

    assert _digests(skopeo, f"{workspace.host}/{project}/source") == _expected()


def test_a_file_says_what_is_synced(
    skopeo: Client, workspace: Workspace, login: Login, repository: Named, synced: str, tmp_path: Path
) -> None:
    path = synced.removeprefix(f"{workspace.host}/")
    file = tmp_path / "sync.yaml"
    file.write_text(
        f"{workspace.host}:\n"
        "  tls-verify: false\n"
        f"  credentials:\n    username: {login.name}\n    password: {login.secret}\n"
        f"  images:\n    {path}: [v1]\n"
        f"  images-by-tag-regex:\n    {path}: ^v2$\n"
    )
    _log_in(skopeo, workspace, login)
    target = repository("by-file")

    skopeo.run(*_SYNC, "--all", "--src", "yaml", "--dest", "docker", str(file), target)

    assert _digests(skopeo, f"{target}/source") == {tag: _TAGGED[tag].digest for tag in ("v1", "v2")}
