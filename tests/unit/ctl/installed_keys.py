"""A data directory with the keys of all services, as `roadstead up` makes them, and what its processes would trust."""

import json
from pathlib import Path
from typing import Any

from ctl.__main__ import main
from ctl.data_dir import DataDir
from svckit.keys import KeyPair, load, load_or_create
from svckit.services import SERVICES
from svckit.trust import TrustBundle


class InstalledKeys:
    """The keys of an installation that is stopped, unless a test holds its lock."""

    def __init__(self, path: Path) -> None:
        """Takes a data directory. `start` makes the keys."""
        self.data_dir = DataDir(path)

    def start(self, *services: str) -> None:
        """What the start of a service does with its key; of all, if none is named."""
        for service in services or SERVICES:
            TrustBundle(self.data_dir.trust).publish(service, load_or_create(self.data_dir.key_file(service)))

    def run(self, *words: str) -> int:
        """Runs `roadstead admin keys`. Returns the exit status."""
        return main(["admin", "keys", *words, "--data-dir", str(self.data_dir.path)])

    def kid(self, service: str) -> str:
        """The key in the key file of a service."""
        return load(self.data_dir.key_file(service)).kid

    def next(self, service: str) -> KeyPair:
        """The key that is prepared."""
        return load(self.next_file(service))

    def next_file(self, service: str) -> Path:
        """Where it is."""
        return self.data_dir.key_file(service).with_name(f"{service}.pem.next")

    def trusts(self, kid: str) -> bool:
        """Whether a process that starts now trusts a key."""
        return TrustBundle(self.data_dir.trust).find(kid) is not None

    def jwk(self, service: str, kid: str) -> dict[str, Any]:
        """A key in the file of its service."""
        document = json.loads((self.data_dir.trust / f"{service}.jwks.json").read_bytes())
        [found] = [jwk for jwk in document["keys"] if jwk["kid"] == kid]
        return dict(found)

    def kids(self, service: str) -> set[str]:
        """The keys in the file of a service."""
        return set(TrustBundle(self.data_dir.trust).key_set(service).keys)
