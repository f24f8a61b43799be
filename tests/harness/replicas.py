"""Two replicas of everything, by `roadstead serve`: TCP and TLS on both sides between them, one PostgreSQL, one folder.

Each set is a separate chain of gateway, authsvc, metasvc and blobsvc, so a test knows which process answers a request.
"""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from svckit.services import RPC_SERVICES, SERVICES
from tests.harness.certificates import Authority
from tests.harness.ports import free_ports_in_a_row
from tests.harness.probe import wait_for_gateway
from tests.harness.process import environment
from tests.harness.up_process import InstallationError

# Eight processes start at once, and load all their modules. Beside other runs, that takes longer than a minute. One
# that ends is noticed at once.
_START_SECONDS = 600.0
_STOP_SECONDS = 180.0
# They are killed when the tests are killed.
_COMMAND = ("setpriv", "--pdeathsig=KILL", "--", sys.executable, "-P", "-m", "ctl", "serve")


class ReplicaSet:
    """One process of each service.

    Attributes:
        config: the settings file.
        host: of its gateway, "127.0.0.1:PORT".
        http_url: the same, with "http://".
    """

    def __init__(self, config: Path, host: str, log_file: Path, environment: dict[str, str]) -> None:
        """Starts them, callers before the services that they call. Use `replicas` to build it."""
        self.config = config
        self.host = host
        self.http_url = f"http://{host}"
        self._log_file = log_file
        with log_file.open("ab") as log:
            self._processes = {
                name: subprocess.Popen(
                    [*_COMMAND, name, "--config", str(config)],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                for name in SERVICES
            }

    def wait_until_ready(self) -> None:
        """Waits until its gateway reports that all serve."""
        wait_for_gateway(self.host, failure=self._ended, log=self.log, seconds=_START_SECONDS)

    def kill(self) -> None:
        """Kills all of them with SIGKILL."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def stop(self) -> None:
        """Stops the running ones normally.

        Raises:
            InstallationError: if one does not.
        """
        running = {name: process for name, process in self._processes.items() if process.poll() is None}
        try:
            for name, process in running.items():
                process.terminate()
                if process.wait(_STOP_SECONDS) != 0:
                    raise InstallationError(f"{name} ended with {process.returncode}\n{self.log()}")
        except subprocess.TimeoutExpired as error:
            raise InstallationError(f"{error.cmd} does not stop\n{self.log()}") from None
        finally:
            self.kill()

    def log(self) -> str:
        """What its services have logged."""
        return self._log_file.read_text(errors="replace")

    def _ended(self) -> list[str] | None:
        return [name for name, process in self._processes.items() if process.poll() is not None] or None


@contextmanager
def replicas(
    folder: Path, database_url: str, *, machines: tuple[Path, Path] | None = None
) -> Iterator[tuple[ReplicaSet, ReplicaSet, str]]:
    """Runs two sets inside the block. Gives both when they are ready, and the password of admin.

    Args:
        folder: is empty, and will hold keys, trust, blobs and settings.
        database_url: of an empty PostgreSQL database.
        machines: the folder of each set with `keys` and `trust`, if they do not share these. They hold the same keys.
    """
    issued = Authority(folder / "authority").issue()
    tls = f'{{ mode = "on", ca = "{issued.ca}", certificate = "{issued.certificate}", key = "{issued.key}" }}'
    password = f"Aa1{secrets.token_urlsafe(16)}"
    variables = environment({"ROADSTEAD_ADMIN_PASSWORD": password})
    with ExitStack() as stack:
        both = []
        first_port = free_ports_in_a_row(2 * len(SERVICES))
        for number in range(2):
            ports = range(first_port + number * len(SERVICES), first_port + (number + 1) * len(SERVICES))
            hosts = dict(zip(SERVICES, (f"127.0.0.1:{port}" for port in ports), strict=True))
            config = folder / f"replica-{number}.toml"
            machine = machines[number] if machines else folder
            config.write_text(_settings(folder, machine, database_url, tls, hosts))
            # Both sets start at the same time, so either may create keys and tables.
            both.append(ReplicaSet(config, hosts["gateway"], folder / f"replica-{number}.log", variables))
            stack.push(partial(_end, both[-1]))
        for each in both:
            each.wait_until_ready()
        yield both[0], both[1], password


def _end(replica: ReplicaSet, failure: type[BaseException] | None, *_: object) -> None:
    """Stops a set. Where starting them has failed, it is killed: it may be unable to stop, and the failure counts."""
    if failure is None:
        replica.stop()
    else:
        replica.kill()


def _settings(folder: Path, machine: Path, database_url: str, tls: str, hosts: dict[str, str]) -> str:
    """The settings file of a set: database and blobs are those of both sets, keys and trust those of its machine."""
    lines = ["[common]", f'trust_dir = "{machine}/trust"', f"rpc_tls = {tls}", "[common.addresses]"]
    lines += [f'{name} = "{hosts[name]}"' for name in RPC_SERVICES]
    for name, service in SERVICES.items():
        lines += [f"[{name}]", f'key_file = "{machine}/keys/{name}.pem"']
        if service.kind == "http":
            lines.append(f'listen = ["{hosts[name]}"]')
        if service.database:
            # Ten calls in flight: one robot's share of them is enough for a test's pushes at once.
            lines += [f'database_url = "{database_url}"', "database_pool_size = 12"]
        if service.keeps_files:
            lines.append(f'data_dir = "{folder}/{name}"')
        if service.socket:
            limit = "max_in_flight = 12, " if service.database else ""
            lines.append(f'rpc = {{ listen = ["{hosts[name]}"], {limit}tls = {tls} }}')
    return "\n".join(lines) + "\n"
