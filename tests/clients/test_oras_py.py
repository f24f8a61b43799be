"""oras-py keeps the first token that it gets, so its push depends on `token_grant`."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.harness.images import image
from tests.harness.installation import Installation, StartInstallation
from tests.harness.push import push
from tests.harness.workspace import Login, Management, Workspace

pytestmark = pytest.mark.clients

# In a process of its own, because its warnings are not ours to mend.
_PROGRAM = """
import sys
import oras.client
command, host, user, secret, target, folder = sys.argv[1:]
client = oras.client.OrasClient(hostname=host, insecure=True, auth_backend="token")
if user:
    client.auth.set_basic_auth(user, secret)
else:
    client.auth.set_token_auth(secret)
if command == "push":
    answer = client.push(target=target, files=["artifact.txt"], disable_path_validation=True)
    print(answer.status_code)
else:
    print(*client.pull(target=target, outdir=folder))
"""


def _run(home: Path, command: str, installation: Installation, login: Login, target: str) -> tuple[int, str]:
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            _PROGRAM,
            command,
            installation.host,
            login.name,
            login.secret,
            target,
            str(home / "out"),
        ],
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return answer.returncode, answer.stdout + answer.stderr


def test_it_pulls_with_a_registry_token_that_was_made_with_a_refresh_token(
    installation: Installation, workspace: Workspace, tmp_path: Path
) -> None:
    # It has no form of its own for refresh tokens. After a 401 it would ask again for a minute, so nothing is refused.
    path = f"{workspace.project}/oras-py"
    push(workspace.http_url, workspace.maintainer, path, image(350), "v1")
    login = workspace.maintainer
    password = {"grant_type": "password", "username": login.name, "password": login.secret, "access_type": "offline"}
    with httpx.Client(base_url=workspace.http_url, trust_env=False, timeout=30) as http:
        made = http.post("/service/token", data={**password, "client_id": "oras-py"}).raise_for_status().json()
        form = {"grant_type": "refresh_token", "refresh_token": made["refresh_token"], "client_id": "oras-py"}
        renewed = http.post("/service/token", data={**form, "scope": f"repository:{path}:pull"}).raise_for_status()
    (tmp_path / "out").mkdir()

    by_token = Login("", renewed.json()["access_token"])
    status, said = _run(tmp_path, "pull", installation, by_token, f"{workspace.host}/{path}:v1")

    assert status == 0, said
    assert len(said.split()) == len(image(350).layers), said


@pytest.mark.parametrize(("grant", "pushes"), [("held", True), ("asked", False)])
def test_it_pushes_with_the_grant_held_only(
    start_installation: StartInstallation, tmp_path: Path, grant: str, pushes: bool
) -> None:
    installation = start_installation(environment={"ROADSTEAD_AUTHSVC_TOKEN_GRANT": grant})
    management = Management.of(installation)
    try:
        project = management.create_project()
        robot = management.create_robot(project)
    finally:
        management.close()
    (tmp_path / "artifact.txt").write_text("of oras-py\n")
    target = f"{installation.host}/{project}/artifact:v1"

    status, said = _run(tmp_path, "push", installation, robot, target)
    if not pushes:
        # If this fails because it can push now, the setting has lost its reason.
        assert (status != 0, "is denied" in said) == (True, True), said
        return
    assert (status, said.split()[-1]) == (0, "201"), said

    (tmp_path / "out").mkdir()
    status, said = _run(tmp_path, "pull", installation, robot, target)
    assert status == 0, said
    assert (tmp_path / "out" / "artifact.txt").read_text() == "of oras-py\n"
