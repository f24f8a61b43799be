"""Clients that keep a refresh token in place of the password: they log in, renew, and are cut off."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.endings import ENDINGS, Account
from tests.harness.engines import import_image, root_file_system
from tests.harness.images import image, write_oci_layout
from tests.harness.installation import Installation
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Login, Management, Workspace

pytestmark = pytest.mark.clients

Named = Callable[[str], str]
Attempt = Callable[[], "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=ENDINGS)
def account(
    request: pytest.FixtureRequest, installation: Installation, management: Management, workspace: Workspace
) -> Account:
    """Who works in the private project until it is cut off."""
    return ENDINGS[request.param](installation, management, workspace)


@pytest.fixture
def base(docker: Client, tmp_path: Path, repository: Named) -> Iterator[str]:
    """An image in the engine, made from this machine's shell. Its name is in the private project."""
    archive = tmp_path / "root.tar"
    archive.write_bytes(root_file_system())
    name = f"{repository('base')}:v1"
    docker.run("import", "--change", f"LABEL test={name}", str(archive), name)
    yield name
    docker.attempt("image", "rm", "--force", name)


def _docker_file(tmp_path: Path) -> Path:
    return tmp_path / "docker-home" / ".docker" / "config.json"


def _log_in(docker: Client, tmp_path: Path, workspace: Workspace, login: Login) -> str:
    """Logs the engine in, and returns the refresh token that it keeps."""
    docker.run("login", "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)
    kept: dict[str, Any] = json.loads(_docker_file(tmp_path).read_text())["auths"][workspace.host]
    # The token and the name, and no password.
    assert base64.b64decode(kept["auth"]).decode() == f"{login.name}:"
    assert login.secret not in _docker_file(tmp_path).read_text()
    return str(kept["identitytoken"])


def _offline_token(workspace: Workspace, login: Login, client_id: str) -> str:
    """The refresh token that a client gets by OAuth2's form, as `nerdctl login` asks for it."""
    form = {
        "grant_type": "password",
        "username": login.name,
        "password": login.secret,
        "service": "harbor-registry",
        "client_id": client_id,
        "access_type": "offline",
    }
    answer = httpx.post(f"{workspace.http_url}/service/token", data=form, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


def _is_cut_off(account: Account, attempt: Attempt, word: str) -> None:
    """After the end, the client is refused at once, again and again, and says so."""
    account.end()
    for _ in range(2):
        refused = attempt()
        assert refused.returncode != 0
        assert word in refused.stderr, refused.stderr


def test_docker_pushes_and_pulls_by_its_token_until_it_is_cut_off(
    docker: Client, workspace: Workspace, account: Account, base: str, tmp_path: Path
) -> None:
    token = _log_in(docker, tmp_path, workspace, account.login)
    for _ in range(2):
        docker.run("push", base)
        docker.run("image", "rm", base)
        docker.run("pull", base)
    # It has kept the token that it had.
    assert json.loads(_docker_file(tmp_path).read_text())["auths"][workspace.host]["identitytoken"] == token

    _is_cut_off(account, lambda: docker.attempt("pull", base), "unauthorized")
    refused = docker.attempt("push", base)
    assert refused.returncode != 0
    assert "unauthorized" in refused.stderr


def test_what_docker_logged_in_serves_all_that_read_its_file(
    docker: Client, crane: Client, skopeo: Client, workspace: Workspace, base: str, tmp_path: Path
) -> None:
    _log_in(docker, tmp_path, workspace, workspace.maintainer)
    docker.run("push", base)
    file = str(_docker_file(tmp_path).parent)

    listed = f"{base.rpartition(':')[0]}:all"
    docker.run("manifest", "create", "--insecure", listed, base)
    docker.run("manifest", "push", "--insecure", listed)
    digest = crane.run("digest", "--insecure", base, DOCKER_CONFIG=file).strip()
    looked = json.loads(
        skopeo.run("inspect", "--tls-verify=false", "--authfile", f"{file}/config.json", f"docker://{base}")
    )
    assert looked["Digest"] == digest
    assert crane.run("ls", "--insecure", base.rpartition(":")[0], DOCKER_CONFIG=file).split() == ["all", "v1"]


def test_containerd_pushes_and_pulls_by_its_token_until_it_is_cut_off(
    ctr: Client, workspace: Workspace, account: Account, repository: Named, tmp_path: Path
) -> None:
    moved = image(340)
    name = repository("app")
    import_image(ctr, tmp_path, moved, name)
    by_token = ("--refresh", _offline_token(workspace, account.login, "containerd-client"))
    for _ in range(2):
        ctr.run("images", "push", "--plain-http", *by_token, f"{name}:v1")
        ctr.run("images", "rm", "--sync", f"{name}:v1")
        ctr.run("images", "pull", "--plain-http", *by_token, f"{name}:v1")

    _is_cut_off(
        account,
        lambda: ctr.attempt("images", "pull", "--plain-http", *by_token, f"{name}:v1"),
        "unexpected status: 401 Unauthorized",
    )


def test_crane_pulls_by_a_token_until_it_is_cut_off(
    crane: Client, workspace: Workspace, account: Account, repository: Named, tmp_path: Path
) -> None:
    name = repository("app")
    _keep_token(tmp_path / "crane-home" / ".docker", workspace, account.login, "go-containerregistry")
    crane.run("push", "--insecure", str(write_oci_layout(tmp_path / "in", image(341))), f"{name}:v1")
    for _ in range(2):
        crane.run("validate", "--insecure", "--remote", f"{name}:v1")

    _is_cut_off(account, lambda: crane.attempt("manifest", "--insecure", f"{name}:v1"), "UNAUTHORIZED")


def test_a_token_of_another_client_is_refused(ctr: Client, workspace: Workspace, repository: Named) -> None:
    path = repository("app").removeprefix(f"{workspace.host}/")
    push(workspace.http_url, workspace.maintainer, path, image(342), "v1")
    stolen = _offline_token(workspace, workspace.maintainer, "ci-runner")

    refused = ctr.attempt("images", "pull", "--plain-http", "--refresh", stolen, f"{workspace.host}/{path}:v1")

    assert refused.returncode != 0
    assert "unexpected status: 401 Unauthorized" in refused.stderr


def _keep_token(folder: Path, workspace: Workspace, login: Login, client_id: str) -> None:
    """Writes Docker's file, with a refresh token."""
    kept = {
        "auth": base64.b64encode(f"{login.name}:".encode()).decode(),
        "identitytoken": _offline_token(workspace, login, client_id),
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {workspace.host: kept}}))
