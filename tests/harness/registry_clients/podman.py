"""podman and buildah, which keep images in a store of their own and read skopeo's logins."""

from collections.abc import Sequence
from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file


class Podman(RegistryClient):
    """It unpacks an image into its store, and packs it again when it pushes, so the digest is its own."""

    name: ClassVar = "podman"
    program: ClassVar = "podman"
    fixture: ClassVar = "podman"
    client_id: ClassVar = "containers/image"
    takes: ClassVar = "refresh token"
    sends_as_given: ClassVar = False
    log_in_line: ClassVar = 'podman login --tls-verify=false --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = ('podman push --tls-verify=false --digestfile digest "$IMAGE"',)
    pull_lines: ClassVar = ('podman pull --tls-verify=false "$IMAGE"',)
    log_out_line: ClassVar = 'podman logout "$REGISTRY"'

    def take_token(self, token: str) -> None:
        self._program.write("auth.json", docker_login_file(self.registry, refresh_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        self._lay_out(pushed)
        self._program.run("pull", f"oci:{self.folder / 'image'}:latest")
        self._program.run("tag", pushed.config["digest"].removeprefix("sha256:"), image)
        outcome = self._run(*self.push_lines, IMAGE=image)
        return self._with_digest(outcome, (self.folder / "digest").read_text() if outcome.succeeded else "")

    def pull(self, image: str) -> Outcome:
        self._program.attempt(*self._remove)
        outcome = self._run(*self.pull_lines, IMAGE=image)
        return self._with_digest(outcome, self._digest(image) if outcome.succeeded else "")

    _remove: ClassVar[Sequence[str]] = ("image", "rm", "--all", "--force")

    def _digest(self, image: str) -> str:
        return self._program.run("image", "inspect", "--format", "{{.Digest}}", image)


class Buildah(Podman):
    """It keeps images as podman does."""

    name: ClassVar = "buildah"
    program: ClassVar = "buildah"
    fixture: ClassVar = "buildah"
    log_in_line: ClassVar = 'buildah login --tls-verify=false --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = ('buildah push --tls-verify=false --digestfile digest "$IMAGE"',)
    pull_lines: ClassVar = ('buildah pull --tls-verify=false "$IMAGE"',)
    log_out_line: ClassVar = 'buildah logout "$REGISTRY"'

    _remove: ClassVar[Sequence[str]] = ("rmi", "--all", "--force")

    def _digest(self, image: str) -> str:
        return self._program.run("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", image)
