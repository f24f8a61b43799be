"""buildah: build from a pushed base, push in both formats, pull, and a cache of layers in the registry."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.containers import containers_client
from tests.harness.engines import root_file_system
from tests.harness.images import Image, image_of
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

_PLAIN = "--tls-verify=false"

Named = Callable[[str], str]


@pytest.fixture
def other(tmp_path: Path) -> Client:
    """A buildah on another machine: its store is empty, too."""
    return containers_client("buildah", tmp_path / "other-home")


@pytest.fixture
def base(workspace: Workspace, repository: Named) -> str:
    """An image with a shell in the private project."""
    name = repository("base")
    shell: Image = image_of([root_file_system()], seed=name)
    push(workspace.http_url, workspace.maintainer, name.removeprefix(f"{workspace.host}/"), shell, "v1")
    return f"{name}:v1"


def _log_in(buildah: Client, workspace: Workspace, login: Login) -> None:
    buildah.run("login", _PLAIN, "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)


def _context(tmp_path: Path, base: str) -> Path:
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("copied\n")
    (context / "Containerfile").write_text(
        f'FROM {base}\nCOPY file /file\nRUN ["/bin/sh", "-c", "read line < /file; echo built from $line > /built"]\n'
    )
    return context


def _read(buildah: Client, name: str, path: str) -> str:
    # From the files, because `buildah run` now and then loses what a short program prints.
    container = buildah.run("from", _PLAIN, "--pull-never", name).strip()
    return (Path(buildah.run("mount", container).strip()) / path.lstrip("/")).read_text()


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_a_build_begins_with_a_pushed_image_and_its_result_comes_back(
    *, buildah: Client, other: Client, workspace: Workspace, login: Login, repository: Named, base: str, tmp_path: Path,
    form: str,
) -> None:  # fmt: skip
    for each in (buildah, other):
        _log_in(each, workspace, login)
    name = f"{repository('built')}:v1"

    buildah.run("build", _PLAIN, "--format", form, "--tag", name, str(_context(tmp_path, base)))
    buildah.run("push", _PLAIN, "--digestfile", str(tmp_path / "digest"), name)
    other.run("pull", _PLAIN, name)

    inspected = other.json("inspect", "--type", "image", name)
    assert isinstance(inspected, dict)
    assert inspected["FromImageDigest"] == (tmp_path / "digest").read_text()
    assert _read(other, name, "/built") == "built from copied\n"


def test_the_steps_of_a_build_come_from_the_cache_in_the_registry(
    *, buildah: Client, other: Client, workspace: Workspace, login: Login, repository: Named, base: str, tmp_path: Path
) -> None:
    context, cache, name = _context(tmp_path, base), repository("cache"), f"{repository('cached')}:v1"
    caching = ("--layers", "--cache-to", cache, "--cache-from", cache)
    outputs = []
    for each in (buildah, other):
        _log_in(each, workspace, login)
        outputs.append(each.run("build", _PLAIN, *caching, "--tag", name, str(context)))

    first, second = outputs
    assert "Cache pulled from remote" not in first
    # COPY and RUN.
    assert second.count("Cache pulled from remote") == 2
    assert _read(other, name, "/built") == "built from copied\n"
