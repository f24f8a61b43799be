"""BuildKit, driven by its buildctl command."""

import json
import re
from typing import ClassVar

from tests.harness.buildkit import buildkitd
from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file

_BUILD = "buildctl build --progress=plain --frontend=dockerfile.v0 --local=context=. --local=dockerfile=. "
_BASE = re.compile(r"FROM \S+@(sha256:[0-9a-f]{64})")


class BuildKit(RegistryClient):
    """It pushes what it builds, and pulls what a build begins with. It reads its logins from Docker's file.

    Each step has a daemon of its own, because a daemon keeps what it has pulled, and the token that it has got.
    """

    name: ClassVar = "BuildKit"
    program: ClassVar = "buildctl"
    client_id: ClassVar = "buildkit-client"
    takes: ClassVar = "refresh token"
    sends_as_given: ClassVar = False
    log_in_line: ClassVar = 'crane auth login --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = (
        "printf 'FROM scratch\\nCOPY artifact /\\n' > Dockerfile",
        f'{_BUILD}--metadata-file=built.json --output="type=image,name=$IMAGE,push=true"',
    )
    pull_lines: ClassVar = (
        'echo "FROM $IMAGE" > Dockerfile',
        f"{_BUILD}--output=type=local,dest=pulled",
    )
    log_out_line: ClassVar = 'crane auth logout "$REGISTRY"'

    _daemons = 0

    def take_token(self, token: str) -> None:
        self._program.write(".docker/config.json", docker_login_file(self.registry, refresh_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        self._write("artifact", pushed.digest)
        outcome = self._built(*self.push_lines, image=image)
        if not outcome.succeeded:
            return outcome
        metadata = json.loads((self.folder / "built.json").read_text())
        return self._with_digest(outcome, metadata["containerimage.digest"])

    def pull(self, image: str) -> Outcome:
        outcome = self._built(*self.pull_lines, image=image)
        return self._with_digest(outcome, " ".join(_BASE.findall(outcome.errors)))

    def _built(self, *lines: str, image: str) -> Outcome:
        self._daemons += 1
        with buildkitd(self.folder.with_name(f"buildkitd-{self._daemons}")) as daemon:
            return self._run(*lines, IMAGE=image, BUILDKIT_HOST=f"unix://{daemon.socket}")
