"""The key that a service signs with. A service takes up a new key while it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from svckit.keys import KeyFileError, KeyPair, load
from svckit.logging import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from svckit.metrics import Metrics
    from svckit.tokens.signer import TokenSigner
    from svckit.trust import TrustBundle, TrustedKey

LOOK_EVERY_SECONDS = 2.0
"""How often a service looks whether its key file was replaced."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FileVersion:
    """Which file it is, when its content was written, and when anything of it was changed, its mode included."""

    inode: int
    write_time_ns: int
    change_time_ns: int

    @classmethod
    def of(cls, path: Path) -> FileVersion | None:
        """The version of a file; None if it cannot be looked at."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


class SigningKey:
    """Watches the key file of a service.

    A new key is taken up only when the trust bundle of this process has it. So a key file that reaches a machine before
    the bundle does causes no refused token.
    """

    def __init__(
        self, path: Path, version: FileVersion | None, signer: TokenSigner, trust: TrustBundle, metrics: Metrics
    ) -> None:
        """Starts with the key that the signer has.

        Args:
            path: the key file.
            version: its version before that key was loaded.
            signer: signs the tokens of the service.
            trust: the public keys of all services.
            metrics: the metrics of this process.
        """
        self._path = path
        self._version = version
        self._signer = signer
        self._trust = trust
        self._service = metrics.service
        self._made_time = Gauge(
            "signing_key_made_time_seconds",
            "When the key was made that signs now, in seconds since the epoch",
            ("service", "kid"),
            registry=metrics.registry,
        )
        self._waiting: KeyPair | None = None
        self._complaint = ""
        self._show()

    async def look(self) -> None:
        """Looks at the key file once, and takes up a key that was activated."""
        version = await asyncio.to_thread(FileVersion.of, self._path)
        if version != self._version:
            self._version = version
            loaded = await self._loaded()
            self._waiting = loaded if loaded is not None and loaded.kid != self._signer.kid else None
            if loaded is not None and self._waiting is None:
                self._show()
        if self._waiting is not None and self._find(self._waiting.kid) is not None:
            self._take_up(self._waiting)
        self._complain(self._wrong())

    async def _loaded(self) -> KeyPair | None:
        """The key in the file; None if there is none that can be used."""
        try:
            return await asyncio.to_thread(load, self._path)
        except KeyFileError as error:
            _log.warning("key_file_unusable", error=str(error))
            return None

    def _take_up(self, keypair: KeyPair) -> None:
        previous = self._signer.kid
        self._signer.use(keypair)
        self._waiting = None
        self._made_time.remove(self._service, previous)
        self._show()
        _log.info("key_taken_up", kid=keypair.kid, previous=previous)

    def _find(self, kid: str) -> TrustedKey | None:
        """The key, if it is trusted as one of this service's."""
        key = self._trust.find(kid)
        return key if key is not None and key.service == self._service else None

    def _show(self) -> None:
        if self._version is not None:
            self._made_time.labels(self._service, self._signer.kid).set(self._version.write_time_ns / 1e9)

    def _wrong(self) -> str:
        """What an operator must mend; empty if all is well."""
        if self._waiting is not None:
            return "key_not_published"  # The old key still signs.
        own = self._find(self._signer.kid)
        if own is None:
            return "key_not_trusted"
        # With an end, another key was activated, and this machine does not have it yet.
        return "key_retired" if own.end_time is not None else ""

    def _complain(self, wrong: str) -> None:
        """Logs what is wrong, once."""
        if wrong == self._complaint:
            return
        self._complaint = wrong
        if wrong:
            # Only without a trusted key are calls refused.
            log = _log.error if wrong == "key_not_trusted" else _log.warning
            kid = self._signer.kid if self._waiting is None else self._waiting.kid
            log(wrong, key_file=str(self._path), kid=kid)
