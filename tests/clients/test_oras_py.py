"""oras-py keeps the first token that it gets, so its push depends on `token_grant`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.installation import Installation, StartInstallation
from tests.harness.workspace import Login, Management

pytestmark = pytest.mark.clients

# In a process of its own, because its warnings are not ours to mend.
_PROGRAM = """
import sys
import oras.client
command, host, user, secret, target, folder = sys.argv[1:]
client = oras.client.OrasClient(hostname=host, insecure=True, auth_backend="token")
client.auth.set_basic_auth(user, secret)
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
