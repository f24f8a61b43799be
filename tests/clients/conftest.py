"""skopeo and crane, logged in as nobody yet, and names of repositories in the private project."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
