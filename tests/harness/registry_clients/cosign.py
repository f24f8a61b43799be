"""cosign, which signs an image that is there, and verifies its signature."""

import json
from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file

_PLAIN = "--allow-http-registry --allow-insecure-registry"


class Cosign(RegistryClient):
    """Its signature is an image under a tag of its own. It reads its logins from Docker's file, and has no logout."""

    name: ClassVar = "cosign"
    program: ClassVar = "cosign"
    client_id: ClassVar = "go-containerregistry"
    takes: ClassVar = "registry token"
    signs: ClassVar = True
    log_in_line: ClassVar = 'cosign login --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = (f'cosign sign --yes --tlog-upload=false --key cosign.key {_PLAIN} "$IMAGE"',)
    pull_lines: ClassVar = (f'cosign verify --insecure-ignore-tlog --key cosign.pub {_PLAIN} "$IMAGE"',)

    def log_out(self) -> Outcome:
        self._program.write(".docker/config.json", json.dumps({}))
        return super().log_out()

    def take_token(self, token: str) -> None:
        self._program.write(".docker/config.json", docker_login_file(self.registry, registry_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        if not (self.folder / "cosign.key").exists():
            self._program.run("generate-key-pair", "--output-key-prefix", f"{self.folder}/cosign", COSIGN_PASSWORD="")
        outcome = self._run(*self.push_lines, IMAGE=image, COSIGN_PASSWORD="")
        # It prints nothing of what it has signed, but where the signature is to be found.
        found = self._run(f'cosign triangulate {_PLAIN} "$IMAGE"', IMAGE=image).output.replace("sha256-", "sha256:")
        return self._with_digest(outcome, found)

    def pull(self, image: str) -> Outcome:
        outcome = self._run(*self.pull_lines, IMAGE=image)
        return self._with_digest(outcome, outcome.output)


class CosignByReferrer(Cosign):
    """Its signature is a referrer of the image."""

    name: ClassVar = "cosign by referrer"
    push_lines: ClassVar = (
        (
            "COSIGN_EXPERIMENTAL=1 cosign sign --yes --tlog-upload=false --key cosign.key "
            f'--registry-referrers-mode=oci-1-1 {_PLAIN} "$IMAGE"'
        ),
    )
    pull_lines: ClassVar = (
        f'cosign verify --insecure-ignore-tlog --key cosign.pub --experimental-oci11 {_PLAIN} "$IMAGE"',
    )
