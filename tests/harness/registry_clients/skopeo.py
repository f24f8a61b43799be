"""skopeo, which copies between a registry and folders."""

from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file


class Skopeo(RegistryClient):
    """It reads its logins from REGISTRY_AUTH_FILE."""

    name: ClassVar = "skopeo"
    program: ClassVar = "skopeo"
    client_id: ClassVar = "containers/image"
    takes: ClassVar = "refresh token"
    log_in_line: ClassVar = 'skopeo login --tls-verify=false --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = (
        'skopeo copy --insecure-policy --dest-tls-verify=false --digestfile digest oci:image "docker://$IMAGE"',
    )
    pull_lines: ClassVar = (
        'skopeo copy --insecure-policy --src-tls-verify=false --digestfile digest "docker://$IMAGE" oci:pulled',
    )
    log_out_line: ClassVar = 'skopeo logout --tls-verify=false "$REGISTRY"'

    def take_token(self, token: str) -> None:
        self._program.write("auth.json", docker_login_file(self.registry, refresh_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        self._lay_out(pushed)
        return self._copied(self._run(*self.push_lines, IMAGE=image))

    def pull(self, image: str) -> Outcome:
        return self._copied(self._run(*self.pull_lines, IMAGE=image))

    def _copied(self, outcome: Outcome) -> Outcome:
        return self._with_digest(outcome, (self.folder / "digest").read_text() if outcome.succeeded else "")
