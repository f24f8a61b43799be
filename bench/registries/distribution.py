"""The peer: Go's `distribution` on a file system, with the tokens of Roadstead's token service.

It keeps descriptors of blobs in memory, as in its own example, and writes no access log.
"""

import json
import secrets
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.machine.processes import tree
from bench.machine.programs import find
from bench.registries.registry import Registry
from bench.registries.tokens import TokenService
from tests.harness.images import Image
from tests.harness.ports import free_port

NAME = "distribution"
PROGRAM = "registry"
_START_SECONDS = 20.0


class Distribution(Registry):
    """A running `registry serve`.

    Attributes:
        start_seconds: from the start of the program to its first answer.
    """

    name = NAME

    def __init__(self, folder: Path, tokens: TokenService) -> None:
        """Starts it, and waits until it answers."""
        folder.mkdir()
        self.host = f"127.0.0.1:{free_port()}"
        self._root = folder / "data"
        self._tokens = tokens
        config = folder / "config.yml"
        config.write_text(json.dumps(self._config()))  # JSON is YAML
        with (folder / "log").open("wb") as log:
            started = time.monotonic()
            # It ends with this process, also after a kill.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", "--", find(PROGRAM), "serve", str(config)], stdout=log, stderr=log
            )
        try:
            self._wait(folder / "log")
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - started

    @property
    def tokens(self) -> TokenService:
        """Roadstead's."""
        return self._tokens

    def processes(self) -> Mapping[int, str]:
        """It is one process."""
        return dict.fromkeys(tree(self._process.pid), NAME)

    def add_tags(self, repository: str, image: Image, tags: Sequence[str]) -> None:
        """By its files: it takes seconds for each hundred tags that are pushed."""
        folder = self._root / "docker/registry/v2/repositories" / repository / "_manifests/tags"
        index = f"index/sha256/{image.digest.removeprefix('sha256:')}"
        for tag in tags:
            for place in ("current", index):
                link = folder / tag / place / "link"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.write_text(image.digest)

    def remove_blobs(self, digests: Iterable[str]) -> None:
        """Removes their data files."""
        for digest in digests:
            encoded = digest.removeprefix("sha256:")
            (self._root / "docker/registry/v2/blobs/sha256" / encoded[:2] / encoded / "data").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stops it."""
        self._process.terminate()
        self._process.wait()

    def _config(self) -> Mapping[str, object]:
        return {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self._root)},
                "cache": {"blobdescriptor": "inmemory"},
            },
            "http": {"addr": self.host, "secret": secrets.token_hex(16)},
            "auth": {
                "token": {
                    "realm": self._tokens.realm,
                    "service": "harbor-registry",
                    "issuer": "authsvc",
                    "jwks": self._tokens.jwks,
                }
            },
        }

    def _wait(self, log: Path) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                answer = httpx.get(f"http://{self.host}/v2/", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.005)
            else:
                assert answer.status_code == 401, "it answers without a token, so it does less than Roadstead"
                return
        raise TimeoutError(f"distribution did not start:\n{log.read_text()}")


@contextmanager
def distribution(folder: Path, tokens: TokenService) -> Iterator[Distribution]:
    """Runs one inside the block. The folder must not exist."""
    running = Distribution(folder, tokens)
    try:
        yield running
    finally:
        running.stop()
