"""The trust bundle: which public key belongs to which service.

It is a folder with one JWKS file (RFC 7517) for each service, `<service>.jwks.json`. With it, every service can verify
tokens without a call to another one. A user who can write a file there decides which keys a service has, so only the
operator of Roadstead may write to the folder.
"""

import base64
import fcntl
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from svckit.durable import replace_file
from svckit.errors.start import StartError
from svckit.keys import KeyPair, thumbprint
from svckit.logging import get_logger

_log = get_logger(__name__)

_SUFFIX = ".jwks.json"
_SERVICE = re.compile(r"[a-z][a-z0-9]{0,31}", re.ASCII)
_MAXIMUM_FILE_BYTES = 256 * 1024
_FILE_MODE = 0o644
# The times of files have the resolution of the kernel's clock, which is 10 ms at worst.
_CLOCK_TICK_NS = 20_000_000


class TrustError(StartError):
    """The trust bundle cannot be written."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and its owner.

    Attributes:
        service: the owner.
        kid: the key's RFC 7638 thumbprint.
        public_key: verifies the owner's signatures.
    """

    service: str
    kid: str
    public_key: ec.EllipticCurvePublicKey


class TrustBundle:
    """The keys in a folder. They are read at first use, when a kid is unknown, and when the last reading is too old."""

    # An unknown kid causes a reading of the folder, and anybody can send one. Without this limit, a flood of forged
    # tokens would cause a flood of file reads. If the folder has changed, it is read at once in spite of the limit.
    # Otherwise services that start at the same time would refuse each other's first calls.
    REREAD_AT_MOST_EVERY_SECONDS = 1.0
    # A key that was removed from the folder is trusted for at most this long.
    REREAD_AT_LEAST_EVERY_SECONDS = 60.0

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the folder. Nothing is read yet.

        Args:
            folder: the folder with the files `<service>.jwks.json`. It need not exist before `publish`.
            clock: returns monotonic seconds.
        """
        self._folder = folder
        self._clock = clock
        self._keys: Mapping[str, TrustedKey] = {}
        self._of_file: dict[str, list[TrustedKey]] = {}
        self._read_time: float | None = None
        self._read_change: _Change | None = None

    def find(self, kid: str) -> TrustedKey | None:
        """The trusted key with this kid; None if there is none.

        This may read the files and block. They are few and small, and are read a few times a minute at most.
        """
        if self._age_seconds() >= self.REREAD_AT_LEAST_EVERY_SECONDS:
            self.reread()
        key = self._keys.get(kid)
        if key is None and (self._age_seconds() >= self.REREAD_AT_MOST_EVERY_SECONDS or self._has_changed()):
            self.reread()
            key = self._keys.get(kid)
        return key

    def keys_of(self, service: str) -> list[TrustedKey]:
        """All keys of a service at the last reading, sorted by kid."""
        if self._read_time is None:
            self.reread()
        return sorted((key for key in self._keys.values() if key.service == service), key=lambda key: key.kid)

    def reread(self) -> None:
        """Reads the folder now. If a file cannot be read, this is logged and its last known keys stay valid."""
        self._read_time = self._clock()
        # Taken before the files are read, so that changes during the reading are found later.
        self._read_change = _last_change(self._folder)
        present: dict[str, list[TrustedKey]] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            service = path.name.removesuffix(_SUFFIX)
            if not _SERVICE.fullmatch(service):
                continue
            try:
                present[service] = [_trusted_key(service, jwk) for jwk in _read_jwks(path)]
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

    def publish(self, service: str, keypair: KeyPair) -> None:
        """Adds the public key to the service's file. The other keys stay, so that tokens signed with them stay valid.

        Raises:
            TrustError: the file cannot be written, or its content is not a JWKS.
        """
        self._rewrite(service, lambda keys: {**keys, keypair.kid: keypair.to_jwk()})

    def retire(self, service: str, kid: str) -> None:
        """Removes a key from the service's file. Its tokens are refused: here at once, elsewhere within a minute.

        Raises:
            TrustError: as `publish`.
        """
        self._rewrite(service, lambda keys: {name: jwk for name, jwk in keys.items() if name != kid})

    def _rewrite(self, service: str, change: Callable[[dict[str, dict[str, str]]], dict[str, dict[str, str]]]) -> None:
        if not _SERVICE.fullmatch(service):
            raise TrustError(f"{service!r} is not the name of a service")
        path = self._folder / f"{service}{_SUFFIX}"
        try:
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._locked():
                before: dict[str, dict[str, str]] = {}
                if path.exists():
                    before = {key.kid: jwk for jwk in _read_jwks(path) for key in [_trusted_key(service, jwk)]}
                after = change(before)
                # Without a change, nothing is written, so that a service can start with a read-only folder.
                if after != before or not path.exists():
                    text = json.dumps({"keys": list(after.values())}, indent=2) + "\n"
                    replace_file(path, text.encode(), mode=_FILE_MODE)
        except OSError as error:
            raise TrustError(f"cannot write {path}: {error.strerror}") from error
        except ValueError as error:
            raise TrustError(f"{path} is not a set of keys, and was not changed: {error}") from error
        self.reread()

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

    def _age_seconds(self) -> float:
        return float("inf") if self._read_time is None else self._clock() - self._read_time

    def _has_changed(self) -> bool:
        """Whether files may have been added, replaced or removed since the last reading."""
        return self._read_change is None or self._read_change != _last_change(self._folder)


@dataclass(frozen=True, slots=True)
class _Change:
    """The time of a folder's last change, in nanoseconds of the file system's clock."""

    inode: int
    time_ns: int


_NO_FOLDER = _Change(inode=0, time_ns=0)


def _last_change(folder: Path) -> _Change | None:
    """The last change of a folder; None if it is so recent that another change could get the same time."""
    try:
        status = folder.stat()
    except OSError:
        return _NO_FOLDER
    if 0 <= time.time_ns() - status.st_mtime_ns < _CLOCK_TICK_NS:
        return None
    return _Change(status.st_ino, status.st_mtime_ns)


def _read_jwks(path: Path) -> list[dict[str, str]]:
    with path.open("rb") as file:
        data = file.read(_MAXIMUM_FILE_BYTES + 1)
    if len(data) > _MAXIMUM_FILE_BYTES:
        raise ValueError("too large")
    document = json.loads(data)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(jwk, dict) for jwk in keys):
        raise ValueError('no list named "keys"')
    return keys


def _trusted_key(service: str, jwk: Mapping[str, Any]) -> TrustedKey:
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise ValueError("a key is not of P-256")
    x, y, kid = jwk.get("x"), jwk.get("y"), jwk.get("kid")
    if not isinstance(x, str) or not isinstance(y, str):
        raise ValueError("a key lacks a coordinate")
    public_key = ec.EllipticCurvePublicNumbers(_number(x), _number(y), ec.SECP256R1()).public_key()
    # Without this check, a kid could be the same as that of another service's key.
    if kid != thumbprint(public_key):
        raise ValueError("a kid is not the thumbprint of its key")
    return TrustedKey(service=service, kid=kid, public_key=public_key)


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
