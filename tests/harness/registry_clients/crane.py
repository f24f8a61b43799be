"""crane, which pushes and pulls folders and archives."""

from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file


class Crane(RegistryClient):
    """It reads its logins from Docker's file."""

    name: ClassVar = "crane"
    program: ClassVar = "crane"
    client_id: ClassVar = "go-containerregistry"
    takes: ClassVar = "registry token"
    log_in_line: ClassVar = 'crane auth login --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = ('crane push --insecure image "$IMAGE"',)
    pull_lines: ClassVar = ('crane pull --insecure --format=oci "$IMAGE" pulled',)
    log_out_line: ClassVar = 'crane auth logout "$REGISTRY"'

    def take_token(self, token: str) -> None:
        self._program.write(".docker/config.json", docker_login_file(self.registry, registry_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        self._lay_out(pushed)
        outcome = self._run(*self.push_lines, IMAGE=image)
        return self._with_digest(outcome, outcome.output)

    def pull(self, image: str) -> Outcome:
        outcome = self._run(*self.pull_lines, IMAGE=image)
        return self._with_digest(
            outcome, (self.folder / "pulled" / "index.json").read_text() if outcome.succeeded else ""
        )
