"""The trust bundle: which public key belongs to which service.

It is a folder with one JWKS file (RFC 7517) for each service, `<service>.jwks.json`. With it, every service can verify
tokens without a call to another one. A user who can write a file there decides which keys a service has, so only the
operator of Roadstead may write to the folder.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from svckit.durable import replace_file, temporary_name
from svckit.errors.start import StartError
from svckit.key_set import KeySet, PublishedKey, RevokedKeyError
from svckit.keys import KeyPair
from svckit.logging import get_logger

_log = get_logger(__name__)

_SUFFIX = ".jwks.json"
_SERVICE = re.compile(r"[a-z][a-z0-9]{0,31}", re.ASCII)
_MAXIMUM_FILE_BYTES = 256 * 1024
_FILE_MODE = 0o644
# The times of files have the resolution of the kernel's clock, which is 10 ms at worst.
_CLOCK_TICK_NS = 20_000_000


class TrustError(StartError):
    """The trust bundle cannot be read or written, or a key may not be published."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and its owner.

    Attributes:
        service: the owner.
        kid: the key's RFC 7638 thumbprint.
        public_key: verifies the owner's signatures.
        end_time: from then on it is not trusted, in seconds since the epoch; None for a key that is not retired.
    """

    service: str
    kid: str
    public_key: ec.EllipticCurvePublicKey
    end_time: int | None = None


class TrustBundle:
    """The keys in a folder. They are read at first use, when a kid is unknown, and when a file has changed."""

    # An unknown kid causes a reading of the folder, and anybody can send one. Without this limit, a flood of forged
    # tokens would cause a flood of file reads. If the folder has changed, it is read at once in spite of the limit.
    # Otherwise services that start at the same time would refuse each other's first calls.
    REREAD_AT_MOST_EVERY_SECONDS = 1.0
    LOOK_EVERY_SECONDS = 2.0
    """How often it is looked whether a file has changed. So a key that was revoked is trusted for no longer than this,
    and every process knows a new key after this time, before it is used."""
    # A file that could not be read is tried again, although it has not changed.
    REREAD_AT_LEAST_EVERY_SECONDS = 60.0

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        """Takes the folder. Nothing is read yet.

        Args:
            folder: the folder with the files `<service>.jwks.json`. It need not exist before `publish`.
            clock: returns monotonic seconds.
            now: returns seconds since the epoch.
        """
        self._folder = folder
        self._clock = clock
        self._now = now
        self._keys: Mapping[str, TrustedKey] = {}
        self._of_file: dict[str, list[TrustedKey]] = {}
        self._read_time: float | None = None
        self._look_time = float("-inf")
        self._read_files: _Files | None = None

    def find(self, kid: str) -> TrustedKey | None:
        """The key with this kid, if it is trusted now; otherwise None.

        This may look at the files, and read them if they have changed, and block. They are few and small.
        """
        if self._clock() - self._look_time >= self.LOOK_EVERY_SECONDS:
            self._look()
        key = self._keys.get(kid)
        if key is None and (self._age_seconds() >= self.REREAD_AT_MOST_EVERY_SECONDS or self._has_changed()):
            self.reread()
            key = self._keys.get(kid)
        if key is not None and key.end_time is not None and key.end_time <= self._now():
            return None
        return key

    def keys_of(self, service: str) -> list[TrustedKey]:
        """All keys of a service at the last reading, sorted by kid."""
        if self._read_time is None:
            self.reread()
        return sorted((key for key in self._keys.values() if key.service == service), key=lambda key: key.kid)

    def reread(self) -> None:
        """Reads the folder now. If a file cannot be read, this is logged and its last known keys stay valid."""
        self._read_time = self._look_time = self._clock()
        # Taken before the files are read, so that changes during the reading are found later.
        self._read_files = _files(self._folder)
        present: dict[str, list[TrustedKey]] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            service = path.name.removesuffix(_SUFFIX)
            if not _SERVICE.fullmatch(service):
                continue
            try:
                present[service] = [_trusted(service, key) for key in _read(path).keys.values()]
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                _log.warning("trust_file_unusable", path=str(path), error=str(error))
                present[service] = self._of_file.get(service, [])
        keys: dict[str, TrustedKey] = {}
        for service_keys in present.values():
            for key in service_keys:
                # Two services with the same key could sign in each other's name. The first one by name keeps the key.
                owner = keys.setdefault(key.kid, key).service
                if owner != key.service:
                    _log.warning("trust_key_claimed_twice", kid=key.kid, owner=owner, refused=key.service)
        self._of_file = present
        self._keys = keys

    def services(self) -> list[str]:
        """The services that have a file."""
        names = (path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}"))
        return sorted(name for name in names if _SERVICE.fullmatch(name))

    def key_set(self, service: str) -> KeySet:
        """All that the file of a service says now; an empty set if it does not exist.

        Raises:
            TrustError: the file cannot be read, or its content is not a JWKS.
        """
        path = self._file(service)
        try:
            return _read(path)
        except FileNotFoundError:
            return KeySet()
        except OSError as error:
            raise TrustError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise TrustError(f"{path} is not a set of keys: {error}") from error

    def publish(self, service: str, keypair: KeyPair) -> None:
        """Adds the public key of a service that starts. The other keys stay, and so do the tokens they have signed.

        Raises:
            TrustError: as `change`; or the key was revoked.
        """
        try:
            self.change(service, lambda keys: keys.with_own(keypair, int(self._now())))
        except TrustError as error:
            if isinstance(error.__cause__, RevokedKeyError):
                raise TrustError(
                    f"{error.__cause__}; `roadstead admin keys rotate {service}` makes another one"
                ) from error
            if self.find(keypair.kid) is None:
                raise
            # The folder cannot be written here, which does not matter as long as the key is trusted.
            _log.warning("trust_not_written", error=str(error))

    def change(self, service: str, change: Callable[[KeySet], KeySet]) -> KeySet:
        """Replaces the file of a service by what a function makes of it, under the lock of the folder. Returns that.

        Raises:
            TrustError: the file cannot be written, it would be too large, or its content is not a JWKS.
        """
        path = self._file(service)
        try:
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._locked():
                before = _read(path) if path.exists() else KeySet()
                after = change(before)
                # Without a change, nothing is written, so that a service can start with a read-only folder.
                if after != before or not path.exists():
                    _remove_unfinished(path)
                    _write(path, after)
        except OSError as error:
            raise TrustError(f"cannot write {path}: {error.strerror}") from error
        except ValueError as error:
            raise TrustError(f"{path} was not changed: {error}") from error
        self.reread()
        return after

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Locks the folder. Without the lock, replicas that start at the same time could drop each other's key."""
        with self._lock_file().open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _lock_file(self) -> Path:
        path = self._folder / ".lock"
        if not path.exists():
            path.touch(mode=0o644)
        return path

    def _file(self, service: str) -> Path:
        if not _SERVICE.fullmatch(service):
            raise TrustError(f"{service!r} is not the name of a service")
        return self._folder / f"{service}{_SUFFIX}"

    def _age_seconds(self) -> float:
        return float("inf") if self._read_time is None else self._clock() - self._read_time

    def _look(self) -> None:
        self._look_time = self._clock()
        if self._age_seconds() >= self.REREAD_AT_LEAST_EVERY_SECONDS or self._has_changed():
            self.reread()

    def _has_changed(self) -> bool:
        """Whether files may have been added, replaced, changed or removed since the last reading."""
        return self._read_files is None or self._read_files != _files(self._folder)


@dataclass(frozen=True, slots=True)
class _File:
    """Which file it is, and its last change, in nanoseconds of the file system's clock."""

    inode: int
    size: int
    time_ns: int


_Files = Mapping[str, _File]


def _files(folder: Path) -> _Files | None:
    """The files in a folder; None if one changed so recently that another change could get the same time."""
    found: dict[str, _File] = {}
    now = time.time_ns()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    # Links are followed: in Kubernetes, the files of a folder are links to those of another one.
                    status = entry.stat()
                    if 0 <= now - status.st_mtime_ns < _CLOCK_TICK_NS:
                        return None
                    found[entry.name] = _File(status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError:
        return found
    return found


def _read(path: Path) -> KeySet:
    with path.open("rb") as file:
        data = file.read(_MAXIMUM_FILE_BYTES + 1)
    if len(data) > _MAXIMUM_FILE_BYTES:
        raise ValueError("too large")
    return KeySet.parse(data)


def _remove_unfinished(path: Path) -> None:
    """Removes what a kill has left of a file that was being written. Called only under the lock."""
    for unfinished in path.parent.glob(temporary_name(path, "*")):
        unfinished.unlink(missing_ok=True)


def _write(path: Path, keys: KeySet) -> None:
    data = keys.render()
    # A larger file would be refused by all who read it.
    if len(data) > _MAXIMUM_FILE_BYTES:
        raise ValueError(f"it would be larger than {_MAXIMUM_FILE_BYTES} bytes")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mode = _FILE_MODE
    replace_file(path, data, mode=mode)


def _trusted(service: str, key: PublishedKey) -> TrustedKey:
    return TrustedKey(service=service, kid=key.kid, public_key=key.public_key, end_time=key.end_time)
