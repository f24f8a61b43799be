"""`roadstead up` for its user: it starts, prints that, restarts services that end, and leaves no process behind."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from svckit.services import SERVICES
from tests.harness import plain_http
from tests.harness.installation import Installation, StartInstallation, running_installation
from tests.harness.up_process import InstallationError

COMMAND = [sys.executable, "-P", "-m", "ctl"]


def roadstead(*arguments: str | Path, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def log_in(installation: Installation, password: str) -> int:
    """The status that the token service answers with."""
    return plain_http.get(
        f"{installation.http_url}/service/token",
        params={"service": "harbor-registry", "account": "admin"},
        auth=("admin", password),
    ).status_code


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_installation(tmp_path_factory.mktemp("own") / "data") as running:
        yield running


@pytest.fixture
def own(started: Installation) -> Installation:
    """An installation for this file. Tests may kill and stop it; it is restarted for the next test."""
    if not started.is_running:
        started.start()
    return started


def test_docker_is_asked_for_a_token_of_this_host(installation: Installation) -> None:
    response = plain_http.get(f"{installation.http_url}/v2/")

    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith(f'Bearer realm="{installation.http_url}/service/token",service="harbor-registry"')


def test_it_says_where_it_serves_and_last_that_it_is_ready(installation: Installation) -> None:
    ports = installation.grpc_ports

    assert [line for line in installation.output if line.startswith("grpc ")] == [
        f"grpc authsvc 127.0.0.1:{ports['authsvc']}",
        f"grpc metasvc 127.0.0.1:{ports['metasvc']}",
        f"grpc blobsvc 127.0.0.1:{ports['blobsvc']}",
        f"grpc jobsvc 127.0.0.1:{ports['jobsvc']}",
    ]
    assert installation.output[-1] == f"ready {installation.http_url}"
    assert [line.split()[0] for line in installation.output].count("ready") == 1


def test_all_services_run_and_admin_can_log_in(installation: Installation) -> None:
    assert set(installation.pids()) == set(SERVICES)
    assert log_in(installation, installation.admin_password) == 200
    assert log_in(installation, "Wrong12345") == 401


def test_the_data_is_for_its_owner_alone_and_secrets_show_nowhere(installation: Installation) -> None:
    data = installation.data_dir
    assert mode(data) == 0o700
    assert mode(data / "admin-password") == 0o600
    assert mode(data / "config" / "services.toml") == 0o600
    assert {mode(key) for key in (data / "keys").iterdir()} == {0o600}
    assert mode((data / "run").resolve()) == 0o700

    password = installation.admin_password
    pids = [installation.supervisor_pid, *installation.pids().values()]
    assert not any(password in Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)
    assert password not in installation.log_file.read_text()
    assert password not in (data / "config" / "services.toml").read_text()


def test_a_second_one_on_the_same_data_is_refused(installation: Installation) -> None:
    result = roadstead("up", "--data-dir", installation.data_dir, "--http", "127.0.0.1:0", "--grpc-port", "0")

    assert result.returncode == 1
    assert result.stdout == ""
    assert f"process {installation.supervisor_pid} runs `roadstead up`" in result.stderr


def test_a_taken_http_port_is_said_at_once(installation: Installation, tmp_path: Path) -> None:
    result = roadstead("up", "--data-dir", tmp_path / "other", "--http", installation.host, "--grpc-port", "0")

    assert result.returncode == 1
    assert f"HTTP on {installation.host}: the port is taken by another program" in result.stderr


def test_a_taken_grpc_port_is_said_at_once(installation: Installation, tmp_path: Path) -> None:
    port = installation.grpc_ports["blobsvc"] - 2

    result = roadstead("up", "--data-dir", tmp_path / "other", "--http", "127.0.0.1:0", "--grpc-port", str(port))

    assert result.returncode == 1
    assert f"gRPC of authsvc on 127.0.0.1:{port}: the port is taken by another program" in result.stderr


def test_a_wrong_setting_ends_the_start_and_is_named(tmp_path: Path) -> None:
    result = roadstead(
        *("up", "--data-dir", tmp_path / "data", "--http", "127.0.0.1:0", "--grpc-port", "0"),
        ROADSTEAD_BLOBSVC_READING_THREADS="many",
    )

    assert result.returncode == 78
    assert "blobsvc does not start: exit code 78" in result.stderr
    assert "blobsvc.reading_threads: 'many' (from ROADSTEAD_BLOBSVC_READING_THREADS) is refused" in result.stderr
    assert "ready" not in result.stdout


def test_it_stops_clean_and_starts_again_on_what_it_has(start_installation: StartInstallation) -> None:
    installation = start_installation()
    password = installation.admin_password
    first_output = installation.output
    pids = [installation.supervisor_pid, *installation.pids().values()]
    sockets = (installation.data_dir / "run").resolve()
    assert (sockets / "meta.sock").is_socket()

    assert installation.stop() == 0

    assert not any(map(is_running, pids))
    assert not sockets.exists()
    assert not (installation.data_dir / "run").is_symlink()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(installation.host.split(":")[1]))) != 0

    installation.start()
    assert log_in(installation, password) == 200
    # The password is shown when it is made, and never again.
    assert any(password in line for line in first_output)
    assert not any(password in line for line in installation.output)


def test_killed_services_come_back(own: Installation) -> None:
    killed_before = own.log_file.read_text().count("ended by SIGKILL")
    for service in sorted(SERVICES):
        own.restart_service(service)
        assert log_in(own, own.admin_password) == 200
    assert own.log_file.read_text().count("ended by SIGKILL") - killed_before == len(SERVICES)


def test_a_killed_supervisor_takes_everything_down_and_another_can_start(own: Installation) -> None:
    password = own.admin_password
    pids = own.pids()
    left_behind = (own.data_dir / "run").resolve()
    descriptors = [os.pidfd_open(pid) for pid in pids.values()]

    own.kill_supervisor()

    for descriptor in descriptors:
        # Readable once the process has ended.
        assert _ends(descriptor)
    own.start()
    assert log_in(own, password) == 200
    assert not left_behind.exists()


def test_a_second_signal_does_not_wait_for_the_drain(own: Installation) -> None:
    # A stopped service does not handle SIGTERM, so only a second signal ends it before its time-out.
    os.kill(own.pids()["gateway"], signal.SIGSTOP)
    supervisor = own.supervisor_pid

    # The kernel merges two equal signals that are pending at the same time.
    os.kill(supervisor, signal.SIGINT)
    assert own.stop(signal.SIGTERM) == 0

    assert "killed: it did not stop in time" in own.log_file.read_text()


def test_the_password_of_the_first_start_may_be_given(start_installation: StartInstallation) -> None:
    installation = start_installation(environment={"ROADSTEAD_ADMIN_PASSWORD": "Given12345"})

    assert log_in(installation, "Given12345") == 200
    assert not any("Given12345" in line for line in installation.output)


def test_several_gateways_serve_one_address_and_one_may_die(start_installation: StartInstallation) -> None:
    installation = start_installation(workers=2, grpc=False)
    assert set(installation.pids()) == {*SERVICES, "gateway-2"}
    assert installation.grpc_ports == {}

    installation.kill("gateway")

    for _ in range(20):
        assert plain_http.get(f"{installation.http_url}/v2/").status_code == 401


@pytest.mark.postgres
def test_it_runs_on_postgresql(start_installation: StartInstallation) -> None:
    installation = start_installation(database="postgresql")
    assert log_in(installation, installation.admin_password) == 200

    installation.restart()

    assert log_in(installation, installation.admin_password) == 200
    assert list((installation.data_dir / "metasvc").iterdir()) == []


def test_a_password_is_changed_while_it_runs(own: Installation) -> None:
    old = own.admin_password

    result = roadstead("admin", "set-password", "admin", "--data-dir", own.data_dir, stdin="Changed123\n")

    assert result.returncode == 0, result.stderr
    assert log_in(own, "Changed123") == 200
    assert log_in(own, old) == 401
    printed = roadstead("admin", "password", "--data-dir", own.data_dir)
    assert printed.stdout == "Changed123\n"


def test_the_keys_of_all_services_are_listed(own: Installation) -> None:
    result = roadstead("admin", "keys", "--data-dir", own.data_dir)

    assert result.returncode == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["SERVICE", "KEY", "STATE", "SINCE", "UNTIL"]
    assert {line.split()[0] for line in lines} == set(SERVICES)
    assert {line.split()[2] for line in lines} == {"signs"}


def test_the_supervisor_is_small(installation: Installation) -> None:
    status = Path(f"/proc/{installation.supervisor_pid}/status").read_text()
    resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))

    assert int(resident) < 30 * 1024


def test_an_installation_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match=r"authsvc\.log_level"):
        Installation(tmp_path / "data", environment={"ROADSTEAD_AUTHSVC_LOG_LEVEL": "loud"})


def _ends(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], 30)[0])
    finally:
        os.close(descriptor)
