"""The Valkey of `roadstead up`: a socket and no port, started again, gone with its supervisor."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.installation import Installation, StartInstallation
from tests.harness.process import kill_and_wait
from tests.harness.waiting import wait_until

# The state of a listening socket in /proc/net/tcp.
LISTENS = "0A"


@pytest.fixture
def own(start_installation: StartInstallation) -> Installation:
    """An installation for one test, which may kill it."""
    return start_installation()


def valkey(installation: Installation) -> int:
    """The process id of the server; 0 while there is none."""
    supervisor = installation.supervisor_pid
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "valkey-server":
                return int(pid)
    return 0


def listening(pid: int) -> list[str]:
    """The TCP addresses at which a process listens."""
    links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    own = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    rows = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
    ]
    return [row[1] for row in rows if row[3] == LISTENS and row[9] in own]


def test_it_has_a_private_socket_no_port_and_comes_back(own: Installation) -> None:
    server = wait_until(lambda: valkey(own), "Valkey")
    socket = own.data_dir / "run" / "valkey.sock"
    wait_until(socket.is_socket, "its socket")
    assert socket.stat().st_mode & 0o077 == 0
    assert listening(server) == []
    assert listening(own.pids()["jobsvc"]) != [], "such a port would be found"

    kill_and_wait(server, signal.SIGKILL)
    wait_until(lambda: valkey(own), "another one", wanted=lambda pid: pid not in (0, server))
    wait_until(lambda: "redis_is_back" in own.log_file.read_text(), "jobsvc to use it")
    files = {path.name for path in (own.data_dir / "run").resolve().iterdir()}
    assert {name for name in files if not name.endswith((".sock", ".sock.lock"))} == set(), "it keeps nothing"


def test_it_ends_with_a_killed_supervisor(own: Installation) -> None:
    server = wait_until(lambda: valkey(own), "Valkey")
    own.kill_supervisor()

    wait_until(lambda: not _runs(server), "its end")


def _runs(pid: int) -> bool:
    try:
        # The state follows the name; Z has ended, and waits for its parent.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
