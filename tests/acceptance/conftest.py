"""cosign and helm, logged in as the maintainer of a private project."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.plain_http import NO_TLS
from tests.harness.programs import Client
from tests.harness.workspace import Workspace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The HOME that all client programs of a test share, so that one login serves them all."""
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def crane(home: Path, workspace: Workspace) -> Client:
    """crane, logged in."""
    client = Client("crane", home)
    login = workspace.maintainer
    client.run("auth", "login", workspace.host, "-u", login.name, "--password-stdin", input_text=login.secret)
    return client


@pytest.fixture
def cosign(home: Path) -> Client:
    """cosign, with a key pair in its working folder, and without the public transparency log."""
    client = Client("cosign", home, variables={"COSIGN_PASSWORD": "", "COSIGN_EXPERIMENTAL": "1"})
    client.run("generate-key-pair", "--output-key-prefix", str(home / "cosign"))
    return client


@pytest.fixture
def helm(home: Path) -> Client:
    """helm."""
    return Client("helm", home)


@pytest.fixture
def rest(workspace: Workspace) -> Iterator[httpx.Client]:
    """Harbor's REST API of the private project, as its maintainer."""
    url = f"{workspace.http_url}/api/v2.0/projects/{workspace.project}"
    with httpx.Client(
        base_url=url, auth=workspace.maintainer.basic, timeout=30, trust_env=False, verify=NO_TLS
    ) as client:
        yield client
