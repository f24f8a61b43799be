"""Roadstead: a real `roadstead up` in a folder of its own, with SQLite and token authentication."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.machine.processes import tree
from bench.registries.registry import Registry
from bench.registries.tokens import TokenService
from tests.harness.images import Image
from tests.harness.installation import Installation
from tests.harness.workspace import Login

NAME = "roadstead"
# The limit is gateway.limits.tags_per_manifest.
_TAGS_PER_REQUEST = 100


@dataclass(frozen=True)
class Setup:
    """How Roadstead is started.

    Attributes:
        server: what serves HTTP: "hypercorn", the default, or "granian".
        workers: processes of the gateway.
        variables: further settings, as ROADSTEAD_… variables.
    """

    server: str = "hypercorn"
    workers: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """All settings as variables."""
        chosen = {} if self.server == "hypercorn" else {"ROADSTEAD_GATEWAY_SERVER": self.server}
        return {**chosen, **self.variables}


class Roadstead(Registry):
    """An installation."""

    name = NAME

    def __init__(self, installation: Installation) -> None:
        """Takes a running one."""
        self.host = installation.host
        self.installation = installation
        self._tokens = TokenService(
            realm=f"{installation.http_url}/service/token",
            jwks=str(installation.data_dir / "trust" / "authsvc.jwks.json"),
            login=Login("admin", installation.admin_password),
        )

    @property
    def tokens(self) -> TokenService:
        """Its own token service."""
        return self._tokens

    def processes(self) -> Mapping[int, str]:
        """The supervisor, the services, and what they have started, each under the name of its service."""
        supervisor = self.installation.supervisor_pid
        services = self.installation.pids()
        found = dict.fromkeys(tree(supervisor), "supervisor")
        for name, pid in services.items():
            found |= dict.fromkeys(tree(pid), name)
        return found

    def add_tags(self, repository: str, image: Image, tags: Sequence[str]) -> None:
        """By PUT of the manifest, with several tags in each request."""
        headers = {"Authorization": f"Bearer {self.tokens.token([repository])}", "Content-Type": image.media_type}
        with httpx.Client(base_url=f"http://{self.host}", headers=headers, timeout=60, trust_env=False) as client:
            for first in range(0, len(tags), _TAGS_PER_REQUEST):
                params = {"tag": tags[first : first + _TAGS_PER_REQUEST]}
                path = f"/v2/{repository}/manifests/{image.digest}"
                client.put(path, params=params, content=image.manifest).raise_for_status()

    def remove_blobs(self, digests: Iterable[str]) -> None:
        """Removes all generations of the blobs."""
        for digest in digests:
            algorithm, encoded = digest.split(":")
            for generation in self.installation.data_dir.glob(f"blobsvc/**/{algorithm}/{encoded[:2]}/{encoded}/*"):
                generation.unlink()


@contextmanager
def roadstead(folder: Path, setup: Setup) -> Iterator[Roadstead]:
    """Runs one inside the block. The folder must not exist."""
    installation = Installation(folder, grpc=False, workers=setup.workers, environment=setup.environment)
    try:
        yield Roadstead(installation)
    finally:
        installation.stop()
