"""BuildKit: daemons that have built nothing yet, builds that push to a registry, and what they push."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.engines import Daemon, daemon_program, root_file_system, running, short_folder
from tests.harness.images import Image, image_of
from tests.harness.programs import Client, program
from tests.harness.workspace import Login

STEPS = ("[made 2/3] COPY", "[made 3/3] RUN", "[stage-1 1/1] COPY")
"""The steps of `write_context` after its base, as BuildKit names them."""


@dataclass(frozen=True)
class Built:
    """What a build has pushed.

    Attributes:
        digest: of the index.
        progress: what `buildctl` printed.
    """

    digest: str
    progress: str

    @property
    def cached_steps(self) -> tuple[str, ...]:
        """The steps that came from a cache, in order, without their arguments."""
        named = re.findall(r"^(#\d+) (\[[^]]*\] [A-Z]+)", self.progress, re.MULTILINE)
        cached = set(re.findall(r"^(#\d+) CACHED$", self.progress, re.MULTILINE))
        return tuple(sorted({step for number, step in named if number in cached}))


class Builder:
    """A daemon, and the command that talks to it."""

    def __init__(self, daemon: Daemon, home: Path) -> None:
        """Makes the HOME of the command."""
        home.mkdir()
        self._home = home
        self.buildctl = buildctl(daemon, home)

    def log_in(self, registry: str, login: Login) -> None:
        """Writes what `docker login` would."""
        auth = base64.b64encode(f"{login.name}:{login.secret}".encode()).decode()
        self.buildctl.write(".docker/config.json", json.dumps({"auths": {registry: {"auth": auth}}}))

    def build(self, context: Path, name: str, *options: str, output: str = "") -> Built:
        """Builds the Dockerfile of a folder and pushes the result under a name.

        Args:
            context: has the Dockerfile.
            name: "HOST:PORT/project/repository:tag".
            options: further options of `buildctl build`.
            output: further settings of the output, such as "compression=zstd".
        """
        metadata = self._home / "metadata.json"
        done = self.buildctl.attempt(
            *("build", "--progress=plain", "--frontend=dockerfile.v0"),
            *(f"--local=context={context}", f"--local=dockerfile={context}"),
            *(f"--output=type=image,name={name},push=true,{output}".rstrip(","), f"--metadata-file={metadata}"),
            *options,
        )
        assert done.returncode == 0, done.stderr
        return Built(json.loads(metadata.read_text())["containerimage.digest"], done.stderr)


def buildctl(daemon: Daemon, home: Path) -> Client:
    """The command, which reads its logins from Docker's file."""
    return Client("buildctl", home, variables={"BUILDKIT_HOST": f"unix://{daemon.socket}"})


@contextmanager
def buildkitd(folder: Path) -> Iterator[Daemon]:
    """Runs a daemon with an empty state in a folder that does not exist yet.

    Registries on loopback need no TLS, by BuildKit's own rule.
    """
    found = daemon_program("buildkitd")
    folder.mkdir()
    (folder / "buildkitd.toml").touch()
    with short_folder() as short:
        socket = short / "buildkitd.sock"
        command = [
            *(found, "--addr", f"unix://{socket}", "--root", str(folder / "root")),
            # Not the configuration of this machine.
            *("--config", str(folder / "buildkitd.toml")),
            # With these, steps run without a network of their own, and on every file system.
            *("--containerd-worker=false", "--oci-worker-snapshotter=native", "--oci-worker-net=host"),
        ]
        probe = [program("buildctl"), "--addr", f"unix://{socket}", "debug", "workers"]
        with running(command, Daemon(folder, socket), probe) as daemon:
            yield daemon


def base_image(seed: str) -> Image:
    """An image with this machine's shell, because none can be downloaded."""
    return image_of([root_file_system()], seed=seed)


def write_context(folder: Path, base: str) -> Path:
    """Writes a Dockerfile of two stages. The result has one file, `/made`, which says "made from copied"."""
    folder.mkdir()
    (folder / "file").write_text("copied\n")
    (folder / "Dockerfile").write_text(
        f"FROM {base} AS made\n"
        "COPY file /file\n"
        'RUN ["/bin/sh", "-c", "read line < /file; echo made from $line > /made"]\n'
        "FROM scratch\n"
        "COPY --from=made /made /made\n"
    )
    return folder
