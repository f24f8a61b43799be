"""Where the keys of an installation are: of `roadstead up`, or of `roadstead serve` with a settings file."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.rotation import ServiceKeys
from ctl.service import settings_class
from svckit.process.settings import ProcessSettings
from svckit.services import SERVICES
from svckit.settings import SettingsError
from svckit.trust import TrustBundle

# All processes read the same folder, and look at it every two seconds.
_OVERLAP_SECONDS = 5.0
# Services on other machines read a shared folder. NFS may show them an old state for a minute.
_OVERLAP_BETWEEN_MACHINES_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """The key files and the trust bundle of an installation.

    Attributes:
        trust_folder: the folder of the trust bundle.
        files: the key file of each service. It is not there for a service that runs on another machine.
        overlap_seconds: how long a rotation waits until everybody knows a new public key.
        is_running: whether services may be running.
    """

    trust_folder: Path
    files: Mapping[str, Path]
    overlap_seconds: float
    is_running: bool = True

    @classmethod
    def of_data_dir(cls, data_dir: DataDir, overlap_seconds: float | None) -> "KeyPlaces":
        """Those of `roadstead up`. Variables may have moved them, as for `up` itself."""
        files = {
            name: Path(os.environ.get(f"ROADSTEAD_{name.upper()}_KEY_FILE") or data_dir.key_file(name))
            for name in SERVICES
        }
        trust = Path(os.environ.get("ROADSTEAD_COMMON_TRUST_DIR") or data_dir.trust)
        is_running = data_dir.lock_holder() is not None
        default = _OVERLAP_SECONDS if is_running else 0.0
        return cls(trust, files, default if overlap_seconds is None else overlap_seconds, is_running)

    @classmethod
    def of_config(cls, config: Path, overlap_seconds: float | None) -> "KeyPlaces":
        """Those in the settings file of `roadstead serve`.

        Raises:
            CommandError: it cannot be read, or its services do not have the same trust bundle.
        """
        files, folders = {}, set()
        for name in SERVICES:
            try:
                settings = settings_class(name).load(config, name)
            except SettingsError as error:
                raise CommandError(str(error)) from error
            if isinstance(settings, ProcessSettings):
                files[name] = settings.key_file
            folders.add(settings.trust_dir)
        if len(folders) > 1:
            raise CommandError(f"{config} names more than one trust_dir: {', '.join(sorted(map(str, folders)))}")
        default = _OVERLAP_BETWEEN_MACHINES_SECONDS
        return cls(folders.pop(), files, default if overlap_seconds is None else overlap_seconds)

    def trust(self) -> TrustBundle:
        """The trust bundle."""
        return TrustBundle(self.trust_folder, now=time.time)

    def here(self) -> list[ServiceKeys]:
        """The services whose key files are on this machine.

        Raises:
            CommandError: there are none.
        """
        found = [keys for name in self.files if (keys := self.of(name)).is_here]
        if not found:
            files = ", ".join(map(str, self.files.values()))
            raise CommandError(f"there is no key file at {files}; the first start of a service makes it")
        return found

    def of(self, service: str) -> ServiceKeys:
        """The keys of a service."""
        return ServiceKeys(service, self.files[service], self.trust(), self.overlap_seconds, time.time)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands from changing keys inside the block.

        Raises:
            CommandError: another one is doing so, or the bundle is not here.
        """
        try:
            descriptor = os.open(self.trust_folder / ".rotation", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CommandError(
                f"cannot use the trust bundle {self.trust_folder}: {error.strerror}; "
                "the first start of a service makes it"
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError("another `roadstead admin keys` is changing keys; wait until it has ended") from None
            yield
        finally:
            os.close(descriptor)
