"""The Docker engine, driven by the docker command."""

from typing import ClassVar

from tests.harness.images import Image, write_docker_archive
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file


class Docker(RegistryClient):
    """It packs the layers of an image itself, so the digest is its own."""

    name: ClassVar = "Docker engine"
    program: ClassVar = "docker"
    fixture: ClassVar = "docker"
    client_id: ClassVar = "docker"
    takes: ClassVar = "registry token"
    sends_as_given: ClassVar = False
    log_in_line: ClassVar = 'docker login --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = ('docker push "$IMAGE"',)
    pull_lines: ClassVar = ('docker pull "$IMAGE"',)
    log_out_line: ClassVar = 'docker logout "$REGISTRY"'

    _image: str = ""

    def take_token(self, token: str) -> None:
        self._program.write(".docker/config.json", docker_login_file(self.registry, registry_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        self._image = image
        archive = write_docker_archive(self.folder / "image.tar", pushed, image)
        self._program.run("load", "--input", str(archive))
        outcome = self._run(*self.push_lines, IMAGE=image)
        return self._with_digest(outcome, outcome.output.rpartition("digest: ")[2])

    def pull(self, image: str) -> Outcome:
        # A pull of what the engine has would fetch nothing.
        self.close()
        self._image = image
        outcome = self._run(*self.pull_lines, IMAGE=image)
        return self._with_digest(outcome, outcome.output)

    def close(self) -> None:
        if self._image:
            self._program.attempt("image", "rm", "--force", self._image)
