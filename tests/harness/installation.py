"""A real `roadstead up` in its own folder, on free ports: one for the session, or one for a test that kills processes.

def test_something(installation):                        # shared: do not stop or change it
    httpx.get(f"{installation.http_url}/v2/")

def test_a_kill(start_installation):                     # for this test only
    installation = start_installation(database="postgresql")
    installation.kill("metasvc")
    installation.wait_until_ready()
"""

import os
import signal
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.services import PORT_COUNT, RPC_SERVICES
from tests.harness.ports import free_ports_in_a_row
from tests.harness.probe import wait_for_gateway
from tests.harness.process import environment as process_environment
from tests.harness.process import forget_peak, kill_and_wait, memory_bytes
from tests.harness.up_process import InstallationError, UpProcess, tail
from tests.harness.waiting import wait_until

# With these of capabilities(7), root ignores the modes of files. Without them, neither the process nor its children do.
_WITHOUT_DAC = (
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)
PLACEMENTS: Mapping[str, Mapping[str, str]] = {
    "file": {"ROADSTEAD_GATEWAY_BLOB_FILE_MIN_BYTES": "0"},
    "stream": {"ROADSTEAD_GATEWAY_BLOB_DIRECTORY": ""},
}
"""The variables for each way that bytes can take between the gateway and blobsvc. With none of them, small bodies of
uploads take the stream, and everything else the file."""

_TAKEN = "is taken by another program"
_running: list["Installation"] = []


class Installation:
    """A running `roadstead up`.

    Attributes:
        data_dir: its data directory.
        http_url: "http://127.0.0.1:PORT"; with TLS "https://127.0.0.1:PORT".
        host: "127.0.0.1:PORT", as registry clients want it.
        grpc_ports: by service; empty if it was started without gRPC ports.
        metrics_urls: by process; empty if it was started without metrics.
        output: the lines of its standard output.
        arguments: further arguments of `roadstead up`, at the next start.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        grpc: bool = True,
        metrics: bool = False,
        workers: int = 1,
        hang_seconds: float = 30.0,
        arguments: Sequence[str] = (),
        obeys_modes: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it, and waits until it is ready.

        Args:
            data_dir: need not exist.
            grpc: whether it listens for gRPC on loopback.
            metrics: whether its processes serve their metrics.
            workers: processes of the gateway.
            hang_seconds: a process that answers nothing for so long is restarted.
            arguments: further arguments of `roadstead up`.
            obeys_modes: whether it obeys the modes of files even if the tests run as root. It then runs without the
                capabilities with which root ignores them.
            environment: additional variables.

        Raises:
            InstallationError: if it does not become ready.
        """
        self.data_dir = data_dir
        self.log_file = data_dir.with_name(f"{data_dir.name}.log")
        self.grpc_ports: dict[str, int] = {}
        self.metrics_urls: dict[str, str] = {}
        self.output: list[str] = []
        self.start_seconds = 0.0
        self._grpc = grpc
        self._metrics = metrics
        self._workers = workers
        self._hang_seconds = hang_seconds
        self.arguments = arguments
        self._obeys_modes = obeys_modes
        self._environment = process_environment(environment)
        self._http = "127.0.0.1:0"
        self._scheme = "http"
        self._process: UpProcess | None = None
        self.start()

    @property
    def host(self) -> str:
        """The address for registry clients: "127.0.0.1:PORT"."""
        return self._http

    @property
    def server(self) -> str:
        """What serves HTTP."""
        return self._environment.get("ROADSTEAD_GATEWAY_SERVER", "hypercorn")

    @property
    def http_url(self) -> str:
        """The address of the gateway."""
        return f"{self._scheme}://{self._http}"

    @property
    def database_url(self) -> str:
        """The URL of metasvc's database."""
        return self._environment.get("ROADSTEAD_METASVC_DATABASE_URL", f"sqlite:///{self.data_dir}/metasvc/meta.db")

    @property
    def admin_password(self) -> str:
        """The password of the user admin."""
        return (self.data_dir / "admin-password").read_text().strip()

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped or killed since."""
        return self._process is not None

    @property
    def supervisor_pid(self) -> int:
        """The process id of `roadstead up` itself."""
        return self._alive().pid

    def start(self) -> None:
        """Starts it. A restart uses the same HTTP port."""
        for attempts_left in (4, 3, 2, 1, 0):
            # As many ports again for metrics, then one for each process of the gateway and for the worker.
            first_port = free_ports_in_a_row(PORT_COUNT + PORT_COUNT + self._workers + 1)
            started = time.monotonic()
            process = UpProcess(self._command(first_port), self._environment, self.log_file)
            if process.wait_ready():
                break
            process.stop()
            if not attempts_left or _TAKEN not in process.log():
                raise InstallationError(f"roadstead up did not get ready:\n{process.log()}")
        else:
            raise AssertionError("the last attempt breaks or raises")
        self.start_seconds = time.monotonic() - started
        self._process = process
        self.output = process.lines
        ready = next(line for line in process.lines if line.startswith("ready ")).removeprefix("ready ")
        self._scheme, _, self._http = ready.partition("://")
        rows = RPC_SERVICES.values() if self._grpc else ()
        self.grpc_ports = {row.name: first_port + row.port_offset for row in rows if row.port_offset is not None}
        self.metrics_urls = dict(line.split()[1:] for line in process.lines if line.startswith("metrics "))
        _running.append(self)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stops it and returns its exit code. Does nothing if it has stopped already."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        _running.remove(self)
        return process.stop(number)

    def restart(self) -> None:
        """Stops and starts it, on the same data and the same HTTP port."""
        self.stop()
        self.start()

    def pids(self) -> dict[str, int]:
        """The process ids of the services that run, by name; further gateways are "gateway-2" and so on."""
        supervisor = self.supervisor_pid
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        found: dict[str, int] = {}
        for pid in map(int, children):
            name = _service_of(pid)
            if name is not None:
                same = sum(other.split("-")[0] == name for other in found)
                found[name if not same else f"{name}-{same + 1}"] = pid
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Kills a service, waits until it has ended, and returns its process id. The supervisor restarts it."""
        pid = self.pids()[name]
        kill_and_wait(pid, number)
        return pid

    def kill_supervisor(self) -> None:
        """Kills `roadstead up` itself, as the kernel does when memory is short. `start` restarts it."""
        process = self._alive()
        kill_and_wait(process.pid, signal.SIGKILL)
        self._process = None
        _running.remove(self)
        process.stop()

    def wait_for_new(self, name: str, old_pid: int) -> int:
        """Waits until a service runs under a new process id, and returns that."""
        return wait_until(
            lambda: self.pids().get(name, old_pid), f"a new {name}", wanted=lambda pid: pid != old_pid, more=self.log
        )

    def wait_until_ready(self) -> None:
        """Waits until the gateway reports that all services serve."""
        # The gateway caches a good result for a second, and a service may have been killed in that time.
        for service in RPC_SERVICES:
            wait_until(partial(self._serves, service), f"{service} to serve", more=self.log)
        wait_for_gateway(self._http, log=self.log)

    def restart_service(self, name: str) -> None:
        """Kills a service, and waits until a new one serves."""
        self.wait_for_new(name, self.kill(name))
        self.wait_until_ready()

    def resident_bytes(self, name: str) -> int:
        """The memory that a service occupies."""
        return memory_bytes(self.pids()[name], "VmRSS")

    def peak_bytes(self, name: str) -> int:
        """The most memory that a service has occupied, since `forget_peaks` if that was called."""
        return memory_bytes(self.pids()[name], "VmHWM")

    def forget_peaks(self) -> None:
        """Resets the peaks of all services."""
        for pid in self.pids().values():
            forget_peak(pid)

    def log(self) -> str:
        """The last lines that it and its services have logged."""
        return tail(self.log_file)

    def _alive(self) -> "UpProcess":
        if self._process is None:
            raise InstallationError("it does not run")
        return self._process

    def _serves(self, service: str) -> bool:
        socket_path = (self.data_dir / "run").resolve() / RPC_SERVICES[service].socket
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its types have the asynchronous methods only
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _command(self, first_port: int) -> list[str]:
        arguments = {
            "--data-dir": self.data_dir,
            "--http": self._http,
            "--grpc-port": first_port if self._grpc else 0,
            "--metrics-port": first_port + PORT_COUNT if self._metrics else 0,
            "--workers": self._workers,
            "--hang-seconds": self._hang_seconds,
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        # It is killed when the tests are killed. It must handle SIGINT even if the tests ignore it: a shell starts
        # background jobs with SIGINT ignored, and child processes inherit that.
        return [
            "env",
            "--default-signal=INT",
            "setpriv",
            "--pdeathsig=TERM",
            *(_WITHOUT_DAC if self._obeys_modes and os.geteuid() == 0 else ()),
            "--",
            sys.executable,
            "-P",
            "-m",
            "ctl",
            "up",
            *words,
            *self.arguments,
        ]


class StartInstallation(Protocol):
    """Starts an installation that is stopped at the end of the test."""

    def __call__(
        self,
        *,
        database: Literal["sqlite", "postgresql"] = "sqlite",
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Installation:
        """Starts it on a kind of database; the other options are those of `Installation`."""


@contextmanager
def running_installation(data_dir: Path, **options: Any) -> Iterator[Installation]:
    """Runs an installation inside the block, for fixtures of another scope. Fails if it does not stop properly."""
    installation = Installation(data_dir, **options)
    try:
        yield installation
    finally:
        code = installation.stop()
    assert code == 0, installation.log()


on_both_servers = pytest.mark.parametrize("installation", ["hypercorn", "granian"], indirect=True, scope="session")
"""For files of tests that talk to the shared installation: `pytestmark = on_both_servers`."""


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation on SQLite, shared by all tests of the session. Use your own projects, and stop nothing.

    The indirect parameter is its HTTP server; Hypercorn without one.
    """
    # The small blobs of tests take the way of large ones. Tests of crashes and damage use the stream as well.
    variables = {**PLACEMENTS["file"], "ROADSTEAD_GATEWAY_SERVER": str(getattr(request, "param", "hypercorn"))}
    with running_installation(tmp_path_factory.mktemp("installation") / "data", environment=variables) as running:
        yield running


@pytest.fixture
def start_installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartInstallation]:
    """Starts installations for one test, each with a data directory of its own."""
    with ExitStack() as stack:
        count = 0

        def start(
            *,
            database: Literal["sqlite", "postgresql"] = "sqlite",
            environment: Mapping[str, str] | None = None,
            **options: Any,
        ) -> Installation:
            nonlocal count
            count += 1
            variables = dict(environment or {})
            if database == "postgresql":
                # Requested by name, so that a run without PostgreSQL tests does not start a server.
                variables |= postgresql_variables(str(request.getfixturevalue("postgres_database")))
            return stack.enter_context(
                running_installation(tmp_path / f"data-{count}", environment=variables, **options)
            )

        yield start


def postgresql_variables(url: str) -> dict[str, str]:
    """The variables with which both services use one PostgreSQL database, each its own schema."""
    return {"ROADSTEAD_AUTHSVC_DATABASE_URL": url, "ROADSTEAD_METASVC_DATABASE_URL": url}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the logs of the running installations to the report of a failed test."""
    report = yield
    if report.failed:
        for running in _running:
            report.sections.append((f"log of the installation in {running.data_dir}", running.log()))
    return report


def _service_of(pid: int) -> str | None:
    """The service that runs in a process: `python -P -m ctl.service NAME FILE`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return words[words.index(b"ctl.service") + 1].decode() if b"ctl.service" in words else None
