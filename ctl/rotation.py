"""The steps of a rotation, on the files of one service: its key file, and its public keys in the trust bundle.

A rotation is `prepare`, a pause in which everybody reads the new public key, and `activate`. A crash after any step
leaves files with which everything works, and the next command goes on:

1. The new key pair is written beside the key file. Nobody reads it.
2. Its public key is published. All who verify know it, and nobody signs with it.
3. The new key file takes the place of the old one, by a rename. Running services take it up within seconds.
4. The old public key gets an end. Until this is done it is trusted without an end, which breaks nothing.
"""

import math
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ctl.errors import CommandError
from svckit.durable import create_file, move_file, temporary_name
from svckit.key_set import KeySet, PublishedKey
from svckit.keys import KeyPair, load
from svckit.tokens.retention import needed_seconds
from svckit.trust import TrustBundle

_MOST_KEYS = 64
"""A service may have so many public keys. Its file must stay small, because every process reads it."""


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """The keys of one service on this machine.

    Attributes:
        service: its name.
        file: the key file. It need not exist: the service may run on another machine.
        trust: the trust bundle.
        overlap_seconds: how long it takes until every process on every machine has read a change of the bundle, and
            until every process of the service has a new key file.
        clock: returns seconds since the epoch.
    """

    service: str
    file: Path
    trust: TrustBundle
    overlap_seconds: float
    clock: Callable[[], float] = time.time

    @property
    def is_here(self) -> bool:
        """Whether the key file is on this machine."""
        return self.file.exists()

    @property
    def next_file(self) -> Path:
        """Where the key is that was prepared, as long as it does not sign."""
        return self._real_file.with_name(f"{self._real_file.name}.next")

    @property
    def _real_file(self) -> Path:
        # A rename onto a symbolic link would replace the link.
        return self.file.resolve()

    def published(self) -> KeySet:
        """The public keys in the trust bundle.

        Raises:
            TrustError: they cannot be read.
        """
        return self.trust.key_set(self.service)

    def signing(self) -> str:
        """The key in the key file.

        Raises:
            KeyFileError: it cannot be read.
        """
        return load(self.file).kid

    def settle(self) -> bool:
        """Brings the times in the bundle in line with the key file. They differ after a crash, or when a key was lost.

        Returns:
            whether they differed.

        Raises:
            CommandError: the key file is not the one that the bundle names.
            StartError: a file cannot be read or written.
        """
        kid = self.signing()
        keys = self.published()
        if kid in keys.revoked:
            return False  # The next step is to activate another one.
        if kid not in keys.keys:
            raise CommandError(
                f"the key in {self.file} is not in the trust bundle; start {self.service} once, which publishes it"
            )
        if newer := keys.newer_than(kid):
            raise CommandError(
                f"{self.service} signs with {newer.kid} somewhere else, and {self.file} holds the older {kid}; "
                f"copy the key file from there, or `roadstead admin keys revoke {newer.kid}` if that key is lost"
            )
        following = self._next(keys)
        return self._say_that_signs(kid, following.kid if following else None) != keys

    def prepare(self) -> PublishedKey:
        """Makes the next key and publishes it. A key that was prepared before is taken, and published if it was not.

        Raises:
            CommandError: the service has too many keys, or its files are not of this user.
            StartError: a file cannot be read or written.
            OSError: a file cannot be written.
        """
        status = self._checked_file()
        self._remove_unfinished()
        self.settle()
        keys = self.trust.change(self.service, lambda keys: keys.without_ended(self.clock()))
        keypair = self._next(keys)
        if keypair is None:
            if len(keys.keys) >= _MOST_KEYS:
                ends = [key.end_time for key in keys.keys.values() if key.end_time is not None]
                raise CommandError(
                    f"{self.service} has {len(keys.keys)} keys already, and tokens of all of them may be in use; "
                    f"the next one ends at {shown_time(min(ends, default=None))}"
                )
            keypair = KeyPair.generate()
            create_file(self.next_file, keypair.to_pem(), mode=stat.S_IMODE(status.st_mode), group=status.st_gid)
        kid = keypair.kid
        return self.trust.change(self.service, lambda keys: keys.with_next(keypair, int(self.clock()))).keys[kid]

    def wait_seconds(self, key: PublishedKey) -> float:
        """How long to wait until a prepared key may be activated."""
        if not self.overlap_seconds:
            return 0.0
        # The time in the file is rounded down.
        published_time = 1 + (key.made_time or 0)
        return max(0.0, published_time + self.overlap_seconds - self.clock())

    def prepared(self) -> PublishedKey | None:
        """The key that was prepared; None if there is none, or if it was not published yet.

        Raises:
            StartError: a file cannot be read.
        """
        keys = self.published()
        keypair = self._next(keys)
        return None if keypair is None else keys.keys.get(keypair.kid)

    def activate(self) -> KeySet:
        """Lets the service sign with the prepared key, and gives the others an end. Returns the public keys.

        `settle` comes first.

        Raises:
            CommandError: no key was prepared, or it was prepared too short a time ago.
            StartError: a file cannot be read or written.
            OSError: the key file cannot be replaced.
        """
        self._checked_file()
        key = self.prepared()
        if key is None:
            raise CommandError(
                f"no key of {self.service} is prepared; `roadstead admin keys prepare {self.service}` makes one"
            )
        if seconds := self.wait_seconds(key):
            raise CommandError(
                f"the next key of {self.service} may not be known everywhere yet; "
                f"try again in {math.ceil(seconds)} s, or say with --overlap-seconds how long that takes"
            )
        move_file(self.next_file, self._real_file)
        return self._say_that_signs(key.kid)

    def drop_next(self) -> None:
        """Removes the private key that was prepared.

        Raises:
            OSError: it cannot be removed.
        """
        self.next_file.unlink(missing_ok=True)
        self._remove_unfinished()

    def _say_that_signs(self, kid: str, next_kid: str | None = None) -> KeySet:
        now = self.clock()
        # Rounded up. After the overlap, no process signs with another key any more.
        end_time = int(now + self.overlap_seconds) + 1 + needed_seconds(self.service)
        return self.trust.change(
            self.service, lambda keys: keys.with_signing(kid, int(now), end_time, next_kid=next_kid)
        )

    def _next(self, keys: KeySet) -> KeyPair | None:
        """The key that was prepared. One that was revoked, or that signs already, does not count."""
        if not self.next_file.exists():
            return None
        keypair = load(self.next_file)
        if keypair.kid in keys.revoked or keypair.kid == self.signing():
            self.drop_next()
            return None
        return keypair

    def _checked_file(self) -> os.stat_result:
        """The status of the key file. The file that replaces it gets the same owner, group and mode."""
        try:
            status = self.file.stat()
        except OSError as error:
            raise CommandError(
                f"cannot use the key file of {self.service}, {self.file}: {error.strerror}; the first start of "
                f"{self.service} makes it"
            ) from error
        if status.st_uid != os.geteuid():
            raise CommandError(
                f"{self.file} belongs to the user with the id {status.st_uid}; run this command as that user, so that "
                f"{self.service} can read its new key"
            )
        return status

    def _remove_unfinished(self) -> None:
        """Removes what a kill has left of a private key that was being written."""
        for unfinished in self.next_file.parent.glob(temporary_name(self.next_file, "*")):
            unfinished.unlink(missing_ok=True)


def shown_time(seconds: float | None) -> str:
    """A time in UTC, for people and programs; "-" for none."""
    return "-" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
