"""The further examples of docs/clients.md, as they stand there: caches, provenance, and layouts of umoci."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.buildkit import Builder, base_image, buildkitd, write_context
from tests.harness.buildkit_outputs import Registry, check_cache, check_provenance
from tests.harness.containers import containers_client
from tests.harness.installation import Installation
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Login, Management, Workspace, new_workspace

pytestmark = pytest.mark.clients

_PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


@dataclass(frozen=True)
class Example:
    """Where an example runs.

    Attributes:
        folder: its working folder.
        path: the name of its repository, without the host.
        variables: those that the page sets.
    """

    folder: Path
    path: str
    variables: dict[str, str]

    def run(self, client: Client, heading: str, **more: str) -> str:
        """Runs the lines under a heading of the page; they must succeed. Returns what they printed."""
        section = _PAGE.read_text(encoding="utf-8").partition(f"\n### {heading}\n")[2]
        lines = section.partition("```sh\n")[2].partition("```")[0]
        done = client.shell(lines, self.folder, **self.variables, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def workspace(installation: Installation, management: Management) -> Workspace:
    """A project of its own for each test, because the names of caches stand in the page."""
    return new_workspace(installation, management)


@pytest.fixture
def example(workspace: Workspace, tmp_path: Path) -> Example:
    """A folder with a Dockerfile and a file."""
    path = f"{workspace.project}/app"
    push(workspace.http_url, workspace.maintainer, path, base_image(path), "base")
    image = f"{workspace.host}/{path}"
    variables = {"REGISTRY": workspace.host, "PROJECT": workspace.project, "IMAGE": f"{image}:v1"}
    return Example(write_context(tmp_path / "context", f"{image}:base"), path, variables)


def _log_in(client: Client, workspace: Workspace, login: Login) -> None:
    client.run(
        *("login", "--tls-verify=false", "--username", login.name, "--password-stdin", workspace.host),
        input_text=login.secret,
    )


@pytest.fixture
def builders(workspace: Workspace, login: Login, tmp_path: Path) -> Iterator[list[Builder]]:
    """BuildKit on two machines that have built nothing yet."""
    with buildkitd(tmp_path / "first") as first, buildkitd(tmp_path / "second") as second:
        made = [Builder(daemon, tmp_path / f"home-{number}") for number, daemon in enumerate((first, second))]
        for builder in made:
            builder.log_in(workspace.host, login)
        yield made


@pytest.mark.acceptance
def test_buildkit_finds_its_cache_and_leaves_provenance(
    example: Example, builders: list[Builder], workspace: Workspace, login: Login
) -> None:
    first, second = (example.run(builder.buildctl, "A cache and provenance with BuildKit") for builder in builders)

    assert "CACHED" not in first
    assert second.count("CACHED") == 3
    registry = Registry(workspace, login)
    check_provenance(registry, example.path, "v1")
    check_cache(registry, example.path, "v1-cache")


def test_buildah_finds_its_cache(
    *, example: Example, buildah: Client, workspace: Workspace, login: Login, tmp_path: Path
) -> None:
    other = containers_client("buildah", tmp_path / "other-home")
    printed = []
    for machine in (buildah, other):
        _log_in(machine, workspace, login)
        printed.append(example.run(machine, "A cache with buildah"))

    assert "Cache pulled from remote" not in printed[0]
    assert "Cache pulled from remote" in printed[1]


def test_umoci_unpacks_what_skopeo_moved(example: Example, skopeo: Client, workspace: Workspace, login: Login) -> None:
    _log_in(skopeo, workspace, login)

    example.run(skopeo, "Layouts of umoci")

    assert (example.folder / "bundle" / "rootfs" / "file").read_text() == "copied\n"
