"""oras keeps a refresh token in place of the password: it logs in, renews, and is cut off."""

import json
from pathlib import Path

import httpx
import pytest

from tests.harness.endings import ENDINGS
from tests.harness.installation import Installation
from tests.harness.programs import Client
from tests.harness.workspace import Management, Workspace

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("ending", ENDINGS)
def test_oras_pushes_and_pulls_by_a_token_until_it_is_cut_off(
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
