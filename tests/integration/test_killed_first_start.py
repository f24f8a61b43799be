"""A first start that is killed after any of its steps is gone on with by the next start."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.harness import plain_http
from tests.harness.images import image
from tests.harness.installation import running_installation
from tests.harness.process import environment
from tests.harness.push import push
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

# In the order in which they are written; the services write theirs side by side.
STEPS = (
    "lock",
    "format",
    "admin-password",
    "config/services.toml",
    "keys/authsvc.pem",
    "trust/metasvc.jwks.json",
    "blobsvc/store-id",
    "metasvc/meta.db",
    "authsvc/auth.db",
    "authsvc/auth.db-wal",
    "established.json",
)


def test_a_start_after_kills_at_each_step_is_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for step in STEPS:
        kill_at(data, step)

    with running_installation(data) as running:
        assert plain_http.get(f"{running.http_url}/readyz").status_code == 200
        push(running.http_url, Login("admin", running.admin_password), "library/stored", image(1), "v1")


def kill_at(data: Path, step: str) -> None:
    """Starts `roadstead up`, and kills it as soon as the file is there."""
    command = [sys.executable, "-P", "-m", "ctl", "up", "--data-dir", str(data), "--http", "127.0.0.1:0"]
    with (data.with_name("killed.log")).open("ab") as log:
        process = subprocess.Popen(
            [*command, "--grpc-port", "0"], env=environment(None), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until((data / step).exists, f"{step} to be written", failure=process.poll)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
