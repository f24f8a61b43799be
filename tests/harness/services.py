"""The services as processes that only the test restarts.

`roadstead up` restarts services itself, after growing delays. That does not suit tests that kill often, or that need a
service to stay away. Settings and processes are the same as those of `up`.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ctl.data_dir import DataDir
from ctl.established import Established
from ctl.listen import Address, bind_http
from ctl.parent import PARENT_VARIABLE
from ctl.plan import Plan, write_settings
from svckit.services import RPC_SERVICES, SERVICES
from tests.harness.ports import free_ports
from tests.harness.probe import wait_for_gateway
from tests.harness.process import environment as process_environment
from tests.harness.valkey import running_valkey
from tests.harness.waiting import wait_until

START_SECONDS = 60.0
# A service may take 20 s to drain (drain_seconds), and then ends the rest; on a busy machine both take longer.
STOP_SECONDS = 60.0
_CHANNEL_OPTIONS = (
    # A killed service is back soon, so channels connect again soon.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    # In spite of its name, this is how long one attempt to connect may take. With a short time, a service on a busy
    # machine is never reached, and a call that waits for it ends at its deadline.
    ("grpc.min_reconnect_backoff_ms", 20_000),
    # Every channel has its own connections. By default, channels to one service share them.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(address: str) -> grpc.Channel:
    """A channel for a platform. It reconnects soon after a service was away."""
    return grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)


class Services:
    """The running services.

    Attributes:
        data_dir: their data directory, laid out as that of `roadstead up`.
        http_url: "http://127.0.0.1:PORT".
        addresses: "127.0.0.1:PORT" of each that serves RPCs, for platform callers.
        admin_password: of the user admin.
        database_url: of metasvc.
        valkey: carries wake-ups of jobs.
    """

    def __init__(
        self, data_dir: Path, stack: ExitStack, environment: Mapping[str, str], modules: Mapping[str, str]
    ) -> None:
        """Starts them, and waits until they serve; `running_services` builds it."""
        self.data_dir = data_dir
        self._modules = modules
        self._log_file = data_dir.with_name(f"{data_dir.name}.log")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # They end with the tests, also when these are killed.
        self._environment = process_environment({**environment, PARENT_VARIABLE: str(os.getpid())})
        layout = DataDir(data_dir)
        stack.enter_context(layout.opened())
        # It stays open while the gateway is away, so clients wait in its queue, as with `roadstead up`.
        self._listener, http_address = bind_http(Address("127.0.0.1", 0))
        stack.enter_context(self._listener)
        self.http_url = f"http://{http_address}"
        self._http_host = str(http_address)
        self.addresses = _free_addresses()
        sockets = stack.enter_context(layout.socket_folder())
        self.admin_password, _ = layout.admin_password()
        write_settings(
            Plan(
                layout,
                sockets,
                self._listener.fileno(),
                self.addresses,
                log_level="info",
                pretty=False,
                established=Established.load(layout),
            )
        )
        self.valkey = stack.enter_context(running_valkey(sockets))
        default_url = f"sqlite:///{layout.service_dir('metasvc')}/meta.db"
        self.database_url = environment.get("ROADSTEAD_METASVC_DATABASE_URL", default_url)
        stack.callback(self._end)
        self.start_all()

    def kill(self, name: str) -> None:
        """Kills a service with SIGKILL, and returns when it has ended. It stays away until `start`."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def start(self, name: str) -> None:
        """Starts a service that was killed, and waits until it serves."""
        self._start(name)
        self.wait_until_serving(name)

    def restart(self, name: str) -> None:
        """Kills a service and starts it again."""
        self.kill(name)
        self.start(name)

    def restart_soon(self, name: str) -> None:
        """Kills a service and starts it again, without waiting until it serves, so clients see the errors."""
        self.kill(name)
        self._start(name)

    def kill_all(self) -> None:
        """Kills all of them at once."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def start_all(self) -> None:
        """Starts all that do not run, and waits until all serve."""
        for name in reversed(list(SERVICES)):
            if name not in self._processes:
                self._start(name)
        for name in reversed(list(SERVICES)):
            self.wait_until_serving(name)

    def wait_until_serving(self, name: str) -> None:
        """Waits until a service reports SERVING.

        Raises:
            WaitTimeoutError: it does not in time, or one of the services has ended.
        """
        if name == "gateway":
            wait_for_gateway(self._http_host, failure=self._ended, log=self.log)
            return
        if name not in self.addresses:
            return  # A worker only calls others.
        with open_channel(self.addresses[name]) as channel:
            wait_until(
                lambda: _health(channel),
                f"{name} to serve",
                wanted=lambda status: status == health_pb2.HealthCheckResponse.SERVING,
                seconds=START_SECONDS,
                failure=self._ended,
                more=self.log,
            )

    def log(self) -> str:
        """Their log lines."""
        return self._log_file.read_text(errors="replace")

    def stop(self, name: str) -> None:
        """Stops a service with SIGTERM, and returns when it has ended. It stays away until `start`."""
        process = self._processes.pop(name)
        process.terminate()
        process.wait(STOP_SECONDS)

    def pid(self, name: str) -> int:
        """The process id of a service."""
        return self._processes[name].pid

    def _start(self, name: str) -> None:
        assert name not in self._processes
        # Such as worker-2 for a second worker.
        service = name.partition("-")[0]
        module = self._modules.get(service)
        arguments = ["-P", "-m", "ctl.service", service] if module is None else ["-m", module]
        command = [sys.executable, *arguments, str(DataDir(self.data_dir).config_file)]
        with self._log_file.open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self._listener.fileno(),) if name == "gateway" else (),
            )

    def _ended(self) -> dict[str, int] | None:
        """The exit codes of the services that have ended by themselves; None while all run."""
        codes = {name: process.poll() for name, process in self._processes.items()}
        return {name: code for name, code in codes.items() if code is not None} or None

    def _end(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        try:
            for process in self._processes.values():
                process.wait(STOP_SECONDS)
        finally:
            self.kill_all()


@contextmanager
def running_services(
    data_dir: Path, environment: Mapping[str, str] | None = None, modules: Mapping[str, str] | None = None
) -> Iterator[Services]:
    """Runs the services inside the block.

    Args:
        data_dir: need not exist.
        environment: additional variables for them.
        modules: what runs instead of a service, by its name; its argument is the settings file.
    """
    with ExitStack() as stack:
        yield Services(data_dir, stack, environment or {}, modules or {})


def _health(channel: grpc.Channel) -> object:
    """The status of a service; if it does not answer, the code of the error."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # its types have the asynchronous methods only
    try:
        return health.Check(health_pb2.HealthCheckRequest(), timeout=START_SECONDS).status
    except grpc.RpcError as error:
        return error.code()


def _free_addresses() -> dict[str, str]:
    ports = free_ports(len(RPC_SERVICES))
    return {name: f"127.0.0.1:{port}" for name, port in zip(RPC_SERVICES, ports, strict=True)}
