"""oras, which pushes files."""

from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file


class Oras(RegistryClient):
    """It reads its logins from Docker's file."""

    name: ClassVar = "oras"
    program: ClassVar = "oras"
    client_id: ClassVar = "oras-go"
    takes: ClassVar = "registry token"
    sends_as_given: ClassVar = False
    log_in_line: ClassVar = 'oras login --plain-http --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = ('oras push --plain-http "$IMAGE" artifact.txt:text/plain',)
    pull_lines: ClassVar = ('oras pull --plain-http --output pulled "$IMAGE"',)
    log_out_line: ClassVar = 'oras logout "$REGISTRY"'

    def take_token(self, token: str) -> None:
        self._program.write(".docker/config.json", docker_login_file(self.registry, registry_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        self._write("artifact.txt", pushed.digest)
        outcome = self._run(*self.push_lines, IMAGE=image)
        return self._with_digest(outcome, outcome.output)

    def pull(self, image: str) -> Outcome:
        outcome = self._run(*self.pull_lines, IMAGE=image)
        return self._with_digest(outcome, outcome.output)
