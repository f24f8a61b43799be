"""oras: it attaches, discovers and copies, and works by a refresh token until it is cut off."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.endings import ENDINGS
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.plain_http import NO_TLS
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Management, Workspace

pytestmark = pytest.mark.clients


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The HOME of oras."""
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def oras(home: Path, workspace: Workspace) -> Client:
    """oras, logged in."""
    client, login = Client("oras", home), workspace.maintainer
    client.run(
        "login", "--plain-http", "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret
    )
    return client


@pytest.fixture
def rest(workspace: Workspace) -> Iterator[httpx.Client]:
    """Harbor's REST API of the private project, as its maintainer."""
    url = f"{workspace.http_url}/api/v2.0/projects/{workspace.project}"
    with httpx.Client(
        base_url=url, auth=workspace.maintainer.basic, timeout=30, trust_env=False, verify=NO_TLS
    ) as client:
        yield client


def _attach_report(oras: Client, subject: str, home: Path) -> None:
    (home / "report.json").write_text("{}")
    oras.run(
        "attach", "--plain-http", "--disable-path-validation", "--artifact-type=application/vnd.example.report",
        subject, f"{home}/report.json:application/json",
    )  # fmt: skip


def test_what_is_attached_is_discovered_and_goes_with_its_subject(
    oras: Client, workspace: Workspace, home: Path, rest: httpx.Client
) -> None:
    pushed = image(911)
    push(workspace.http_url, workspace.maintainer, f"{workspace.project}/attached", pushed, "v1")
    name = f"{workspace.host}/{workspace.project}/attached"

    _attach_report(oras, f"{name}:v1", home)

    found: Any = json.loads(oras.run("discover", "--plain-http", "--format=json", f"{name}:v1"))
    assert [each["artifactType"] for each in found["referrers"]] == ["application/vnd.example.report"]
    [listed] = rest.get("/repositories/attached/artifacts", params={"with_accessory": "true"}).json()
    assert [each["digest"] for each in listed["accessories"]] == [found["referrers"][0]["digest"]]

    oras.run("manifest", "delete", "--plain-http", "--force", f"{name}@{pushed.digest}")

    assert rest.get("/repositories/attached/artifacts").json() == []


def test_a_recursive_copy_takes_the_referrers_along(oras: Client, workspace: Workspace, home: Path) -> None:
    push(workspace.http_url, workspace.maintainer, f"{workspace.project}/copied", image(912), "v1")
    name = f"{workspace.host}/{workspace.project}/copied"
    _attach_report(oras, f"{name}:v1", home)

    oras.run("copy", "--from-plain-http", "--to-plain-http", "--recursive", f"{name}:v1", f"{name}-to:v1")

    found: Any = json.loads(oras.run("discover", "--plain-http", "--format=json", f"{name}-to:v1"))
    assert len(found["referrers"]) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_pushes_and_pulls_by_a_token_until_it_is_cut_off(
    oras: Client, installation: Installation, management: Management, workspace: Workspace, home: Path, ending: str
) -> None:
    account = ENDINGS[ending](installation, management, workspace)
    form = {
        "grant_type": "password",
        "username": account.login.name,
        "password": account.login.secret,
        "client_id": "oras-go",
        "access_type": "offline",
    }
    answer = httpx.post(f"{workspace.http_url}/service/token", data=form, trust_env=False, timeout=30)
    token = answer.raise_for_status().json()["refresh_token"]
    name = f"{workspace.host}/{workspace.project}/oras-{ending.replace(' ', '-')}:v1"

    oras.run("login", "--plain-http", "--identity-token-stdin", workspace.host, input_text=token)
    kept = json.loads((home / ".docker" / "config.json").read_text())["auths"][workspace.host]
    assert kept["identitytoken"] == token
    (home / "file.txt").write_text("of oras\n")
    for _ in range(2):
        oras.run("push", "--plain-http", "--disable-path-validation", name, f"{home}/file.txt:text/plain")
        oras.run("pull", "--plain-http", "--allow-path-traversal", "--output", str(home / "out"), name)

    account.end()

    for refused in (
        oras.attempt("pull", "--plain-http", "--output", str(home / "out"), name),
        oras.attempt("login", "--plain-http", "--identity-token-stdin", workspace.host, input_text=token),
    ):
        assert refused.returncode != 0
        assert "unauthorized" in refused.stderr.lower(), refused.stderr
