"""A real containerd, as Kubernetes nodes run it: indexes, mirrors by hosts.toml, a tag that does not exist."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.engines import import_image
from tests.harness.images import image, index
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Login, Management, Workspace

pytestmark = pytest.mark.clients

Named = Callable[[str], str]


def _user(login: Login) -> tuple[str, str]:
    return ("--user", f"{login.name}:{login.secret}")


def _digest(ctr: Client, name: str) -> str:
    """The digest of an image in containerd; empty if it is not there."""
    rows = [line.split() for line in ctr.run("images", "ls").splitlines()]
    return next((row[2] for row in rows if row[0] == name), "")


def _hosts(tmp_path: Path, upstream: str, mirror: str) -> str:
    """A folder with a hosts.toml: images of `upstream` come from `mirror`."""
    folder = tmp_path / "hosts" / upstream
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(
        f'server = "https://{upstream}"\n\n[host."http://{mirror}"]\ncapabilities = ["pull", "resolve"]\n'
    )
    return str(folder.parent)


def test_an_index_is_pushed_and_comes_back(
    ctr: Client, workspace: Workspace, repository: Named, tmp_path: Path
) -> None:
    moved = index(image(number, architecture=name) for number, name in enumerate(("amd64", "arm64"), 310))
    login = workspace.maintainer
    name = repository("app")
    import_image(ctr, tmp_path, moved, name)
    assert _digest(ctr, f"{name}:v1") == moved.digest

    ctr.run("images", "push", "--plain-http", *_user(login), f"{name}:v1")
    ctr.run("images", "rm", "--sync", f"{name}:v1")
    ctr.run("images", "pull", "--plain-http", "--all-platforms", *_user(login), f"{name}:v1")

    assert _digest(ctr, f"{name}:v1") == moved.digest
    # `check` reads every blob that the image needs.
    assert "complete" in ctr.run("images", "check", f"name=={name}:v1")


def test_a_mirror_serves_the_images_of_another_registry(
    ctr: Client, workspace: Workspace, management: Management, tmp_path: Path
) -> None:
    mirrored = image(320)
    project = management.create_project(public=True)
    push(workspace.http_url, management.admin, f"{project}/app", mirrored, "v1")
    # No such host exists, so everything must come from the mirror. containerd names the host by `?ns=`.
    name = f"registry.invalid/{project}/app:v1"

    ctr.run("images", "pull", "--hosts-dir", _hosts(tmp_path, "registry.invalid", workspace.host), name)

    assert _digest(ctr, name) == mirrored.digest


def test_a_mirror_with_a_private_project_takes_the_login(
    ctr: Client, workspace: Workspace, repository: Named, tmp_path: Path
) -> None:
    mirrored = image(321)
    path = repository("app").removeprefix(f"{workspace.host}/")
    push(workspace.http_url, workspace.maintainer, path, mirrored, "v1")
    name = f"registry.invalid/{path}:v1"
    hosts = _hosts(tmp_path, "registry.invalid", workspace.host)

    refused = ctr.attempt("images", "pull", "--hosts-dir", hosts, name)
    ctr.run("images", "pull", "--hosts-dir", hosts, *_user(workspace.guest), name)

    assert refused.returncode != 0
    assert _digest(ctr, name) == mirrored.digest


def test_a_tag_that_does_not_exist_is_not_found(ctr: Client, workspace: Workspace, repository: Named) -> None:
    missing = f"{repository('app')}:v1"

    refused = ctr.attempt("images", "pull", "--plain-http", *_user(workspace.maintainer), missing)

    assert refused.returncode != 0
    assert f"{missing}: not found" in refused.stderr
