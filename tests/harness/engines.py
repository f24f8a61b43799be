"""A Docker engine and a containerd of our own, as root and without a network bridge, for the tests of clients.

def test_something(docker):          # the command, logged in as nobody
    docker.run("pull", "127.0.0.1:8080/library/app:v1")

The packages are Debian's `docker.io` and its `containerd`. The programs have folders of their own, and do not touch an
engine that runs on the machine.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.images import Image, write_oci_layout
from tests.harness.programs import Client, lacks, program
from tests.harness.waiting import wait_until

_SHELL = Path("/bin/sh")
_START_SECONDS = 60.0
# Debian puts daemons here, and it may be missing from the PATH.
_DAEMONS = "/usr/sbin"
# Debian's command, even if the PATH has a newer one first: that has its BuildKit in a plugin, which is not there.
_COMMANDS = "/usr/bin"


class Daemon:
    """A program that listens on a unix socket.

    Attributes:
        socket: the path of its socket.
        folder: its data, and its log.
    """

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self.socket = socket


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A Docker engine. Registries on loopback need no TLS, by Docker's own rule."""
    dockerd = daemon_program("dockerd")
    folder = tmp_path_factory.mktemp("docker")
    with short_folder() as short:
        socket = short / "docker.sock"
        command = [
            *(dockerd, "--host", f"unix://{socket}", "--data-root", str(folder / "data")),
            *("--exec-root", str(short / "exec"), "--pidfile", str(folder / "pid")),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"),
        ]
        with running(command, Daemon(folder, socket), [_docker(), "--host", f"unix://{socket}", "version"]) as daemon:
            yield daemon


@contextmanager
def containerd(folder: Path) -> Iterator[Daemon]:
    """A containerd without Kubernetes' part, which would need a network. Its data is in the folder."""
    program_path = daemon_program("containerd")
    with short_folder() as short:
        socket = short / "containerd.sock"
        config = folder / "config.toml"
        config.write_text(
            "version = 2\n"
            f'root = "{folder / "root"}"\n'
            f'state = "{short / "state"}"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]\n'
            f'[grpc]\naddress = "{socket}"\n'
            f'[ttrpc]\naddress = "{socket}.ttrpc"\n'
        )
        ctr = program("ctr", first=_COMMANDS)
        daemon = Daemon(folder, socket)
        with running([program_path, "--config", str(config)], daemon, [ctr, "--address", str(socket), "version"]):
            yield daemon


@pytest.fixture(scope="session")
def containerd_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A containerd, shared by all tests of the session."""
    with containerd(tmp_path_factory.mktemp("containerd")) as daemon:
        yield daemon


@pytest.fixture
def docker(docker_engine: Daemon, tmp_path: Path) -> Client:
    """The `docker` command, with a login file of its own."""
    home = tmp_path / "docker-home"
    home.mkdir()
    variables = {"DOCKER_HOST": f"unix://{docker_engine.socket}", "DOCKER_CLI_EXPERIMENTAL": "enabled"}
    return Client("docker", home, variables=variables, first=_COMMANDS)


@pytest.fixture
def ctr(containerd_engine: Daemon, tmp_path: Path) -> Client:
    """The `ctr` command, with a namespace of its own, so that no test finds the images of another one."""
    home = tmp_path / "ctr-home"
    home.mkdir()
    variables = {
        "CONTAINERD_ADDRESS": str(containerd_engine.socket),
        "CONTAINERD_NAMESPACE": f"n{home.parent.name}".replace("_", "-").strip("-")[:70],
        "CONTAINERD_SNAPSHOTTER": "native",
    }
    return Client("ctr", home, variables=variables, first=_COMMANDS)


def import_image(ctr: Client, folder: Path, imported: Image, name: str, tag: str = "v1") -> None:
    """Puts an image into containerd, under this name and tag. The folder holds it on the way."""
    layout = write_oci_layout(folder / "layout", imported, tag=tag)
    archive = folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        for entry in sorted(layout.iterdir()):
            tar.add(entry, entry.name)
    # Not unpacked: containerd has to move the image, not to run it.
    ctr.run("images", "import", "--no-unpack", "--all-platforms", "--base-name", name, str(archive))


def root_file_system() -> bytes:
    """A tar archive with this machine's shell and its libraries: enough to run, and nothing has to be downloaded."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(_SHELL.resolve(), "bin/sh")
        listed = subprocess.run(["ldd", str(_SHELL)], capture_output=True, text=True, check=True).stdout
        for word in listed.split():
            if word.startswith("/"):
                tar.add(Path(word).resolve(), word.lstrip("/"))
    return archive.getvalue()


def daemon_program(name: str) -> str:
    """The path of a daemon; the test is skipped without root."""
    if os.geteuid() != 0:
        pytest.skip(f"{name} needs root: run `make test` as root")
    return program(name, first=_DAEMONS)


def _docker() -> str:
    return program("docker", first=_COMMANDS)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder for unix sockets, whose paths must be short."""
    folder = Path(f"/tmp/rs-engine-{os.getpid()}-{os.urandom(2).hex()}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        # dockerd leaves the network of the host mounted here, which would keep the folder from being removed.
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for path in reversed([path for path in mounted if path.startswith(f"{folder}/")]):
            subprocess.run(["umount", path], check=True)
        shutil.rmtree(folder)


@contextmanager
def running(command: list[str], daemon: Daemon, probe: list[str]) -> Iterator[Daemon]:
    """Runs a daemon inside the block.

    Args:
        command: of the daemon.
        daemon: its folder, which gets its log.
        probe: a command that succeeds as soon as the daemon answers.
    """
    log = daemon.folder / "log"
    with log.open("wb") as output:
        # It ends with the tests, also when they are killed. Its own children end with it.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", "--", *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    def answers() -> bool:
        ended = process.poll() is not None
        return ended or subprocess.run(probe, capture_output=True, check=False, timeout=_START_SECONDS).returncode == 0

    try:
        wait_until(answers, f"{command[0]} to answer", seconds=_START_SECONDS, more=log.read_text)
        if process.poll() is not None:
            lines = "\n".join(log.read_text().splitlines()[-5:])
            lacks(f"{command[0]} does not start on this machine (it needs cgroups and the right to mount):\n{lines}")
        yield daemon
    finally:
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
