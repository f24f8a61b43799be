"""Client programs, logged in as nobody yet, and names of repositories in the private project."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.containers import containers_client
from tests.harness.programs import Client
from tests.harness.workspace import Login, Workspace


@pytest.fixture
def skopeo(tmp_path: Path) -> Client:
    """Debian's skopeo, without a policy file of the machine's."""
    home = tmp_path / "skopeo-home"
    home.mkdir()
    return Client("skopeo", home)


@pytest.fixture
def crane(tmp_path: Path) -> Client:
    """crane, with its own Docker config."""
    home = tmp_path / "crane-home"
    home.mkdir()
    return Client("crane", home)


@pytest.fixture
def podman(tmp_path: Path) -> Client:
    """Debian's podman, with no image in its store."""
    return containers_client("podman", tmp_path / "podman-home")


@pytest.fixture
def buildah(tmp_path: Path) -> Client:
    """Debian's buildah, with no image in its store."""
    return containers_client("buildah", tmp_path / "buildah-home")


@pytest.fixture
def python(tmp_path: Path) -> Client:
    """The Python that runs the tests, which has oras-py."""
    home = tmp_path / "python-home"
    home.mkdir()
    return Client(Path(sys.executable).name, home, first=str(Path(sys.executable).parent))


@pytest.fixture(params=["user", "robot"])
def login(request: pytest.FixtureRequest, workspace: Workspace) -> Login:
    """Who works in the private project: a maintainer, and a robot."""
    return workspace.maintainer if request.param == "user" else workspace.robot


@pytest.fixture
def repository(workspace: Workspace, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Names of repositories in the private project, different for each test."""
    unique = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()).strip("-")

    def named(name: str) -> str:
        parts = "-".join(part for part in unique.split("-") if part)
        return f"{workspace.host}/{workspace.project}/{parts}/{name}"

    return named
