"""argon2id in a bounded pool of threads, and what it said remembered for a short while."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from svckit.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_M_MMAP_THRESHOLD = -3  # malloc.h; set by hand, it stays
_OWN_BLOCK_BYTES = 1024 * 1024

MAXIMUM_WAITING = 64
"""Hashes that may wait for a thread; the next one is turned away. At 20 ms each they wait for less than a second."""


def give_back_hashing_memory() -> None:
    """Has glibc return what a hash took as soon as it is done. Once for the process; elsewhere it does nothing.

    glibc gets large blocks from the kernel one by one and gives them back, but learns from the first one that is freed
    to keep blocks of that size in its heaps: one log-in for each thread would leave 20 MiB behind for good.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _OWN_BLOCK_BYTES)


class Argon2Hasher:
    """Hashes and verifies passwords. Each hash takes `memory_kib` while it runs, and `threads` of them run at once.

    The defaults are OWASP's smallest set for argon2id: 19 MiB, two passes, one lane.
    """

    def __init__(self, *, memory_kib: int = 19456, passes: int = 2, threads: int = 2) -> None:
        """Makes the pool; its threads start when they are needed."""
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The hash of a password, with its salt and parameters, as text.

        Raises:
            DomainError: OVERLOADED; too many hashes wait.
        """
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether this is the password of that hash. Raises as `hash`."""
        return await self._run(lambda: self._verify(password_hash, password))

    async def verify_nobody(self, password: str) -> None:
        """Takes as long as `verify`: a name without an account cannot be told from one with. Raises as `hash`."""
        await self._run(lambda: self._verify_nobody(password))

    def close(self) -> None:
        """Ends the threads, after what they are at."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _verify_nobody(self, password: str) -> None:
        if self._nobody is None:
            self._nobody = self._argon2.hash(secrets.token_hex())
        self._verify(self._nobody, password)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAXIMUM_WAITING:
            raise DomainError("OVERLOADED", "too many log-ins at once")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


class VerifiedSecrets:
    """Remembers for a short while that a secret was right, so that a client that sends it each time pays once.

    Docker sends a password with every token request. What is kept is a keyed hash of account, stored hash and secret,
    by a key that lives and dies with the process. The stored hash is read anew each time, and is part of it: a changed
    password is not found here.
    """

    def __init__(
        self, seconds: float, *, clock: Callable[[], float] = time.monotonic, maximum_remembered: int = 4096
    ) -> None:
        """Begins empty.

        Args:
            seconds: how long a secret is remembered; 0 for not at all.
            clock: seconds, monotonic.
            maximum_remembered: the oldest go first.
        """
        self._seconds = seconds
        self._clock = clock
        self._maximum_remembered = maximum_remembered
        self._key = secrets.token_bytes(32)
        self._expire_times: OrderedDict[bytes, float] = OrderedDict()

    def knows(self, subject: str, secret_hash: str, secret: str) -> bool:
        """Whether this secret was right for this account and stored hash a short while ago."""
        expire_time = self._expire_times.get(self._name(subject, secret_hash, secret))
        return expire_time is not None and self._clock() < expire_time

    def remember(self, subject: str, secret_hash: str, secret: str) -> None:
        """Remembers that it was right, from now on."""
        if self._seconds <= 0:
            return
        name = self._name(subject, secret_hash, secret)
        self._expire_times.pop(name, None)
        self._expire_times[name] = self._clock() + self._seconds
        while len(self._expire_times) > self._maximum_remembered:
            self._expire_times.popitem(last=False)

    def _name(self, subject: str, secret_hash: str, secret: str) -> bytes:
        # surrogatepass: a secret comes from a header, and must not be able to raise here.
        text = f"{subject}\0{secret_hash}\0{secret}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)
