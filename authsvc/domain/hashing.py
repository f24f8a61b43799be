"""Hashes passwords with argon2id in a bounded thread pool, and remembers correct secrets for a short time."""

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

_M_MMAP_THRESHOLD = -3  # from malloc.h. Once it is set, glibc no longer adjusts the threshold by itself.
_OWN_BLOCK_BYTES = 1024 * 1024

MAXIMUM_WAITING = 64
"""Hashes that may wait for a thread; any further one is refused. At 20 ms each, they wait for less than a second."""


def give_back_hashing_memory() -> None:
    """Makes glibc return the memory of a hash to the kernel when the hash ends. Called once for the process.

    By default, glibc returns the first large block that is freed, and then keeps later blocks of that size in its
    heaps. Without this call, each hashing thread would keep 20 MiB for ever. With another libc, this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _OWN_BLOCK_BYTES)


class Argon2Hasher:
    """Hashes and verifies passwords. Each hash takes `memory_kib` while it runs, and `threads` of them run at once.

    The defaults are OWASP's minimum for argon2id: 19 MiB, two passes, one lane.
    """

    def __init__(self, *, memory_kib: int = 19456, passes: int = 2, threads: int = 2) -> None:
        """Makes the pool. Its threads start when they are needed."""
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="argon2")
        self._waiting = 0
        self._dummy_hash: str | None = None

    async def hash(self, password: str) -> str:
        """The hash of a password, with its salt and parameters, as text.

        Raises:
            DomainError: OVERLOADED; too many hashes wait.
        """
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether this is the password of that hash. Raises as `hash`."""
        return await self._run(lambda: self._verify(password_hash, password))

    async def verify_dummy(self, password: str) -> None:
        """Takes as long as `verify`, so that the time does not show whether an account exists. Raises as `hash`."""
        await self._run(lambda: self._verify_dummy(password))

    def close(self) -> None:
        """Ends the threads after their current work. Hashes that wait are cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _verify_dummy(self, password: str) -> None:
        if self._dummy_hash is None:
            self._dummy_hash = self._argon2.hash(secrets.token_hex())
        self._verify(self._dummy_hash, password)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAXIMUM_WAITING:
            raise DomainError("OVERLOADED", "too many log-ins at once")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


class VerifiedSecrets:
    """Remembers for a short time that a secret was correct, so that it is not hashed for every request.

    Docker sends the password with every token request, and each argon2id hash costs about 20 ms. A keyed hash of
    account, stored hash and secret is kept in memory; its key is random for each process. The stored hash is read from
    the database each time. So after a change of the password, the old one is no longer found here.
    """

    def __init__(
        self, seconds: float, *, clock: Callable[[], float] = time.monotonic, maximum_remembered: int = 4096
    ) -> None:
        """Starts empty.

        Args:
            seconds: how long a secret is remembered; 0 for not at all.
            clock: seconds, monotonic.
            maximum_remembered: how many secrets are remembered; beyond that, the oldest are forgotten.
        """
        self._seconds = seconds
        self._clock = clock
        self._maximum_remembered = maximum_remembered
        self._key = secrets.token_bytes(32)
        self._expire_times: OrderedDict[bytes, float] = OrderedDict()

    def knows(self, subject: str, secret_hash: str, secret: str) -> bool:
        """Whether this secret was correct for this account and stored hash a short time ago."""
        expire_time = self._expire_times.get(self._name(subject, secret_hash, secret))
        return expire_time is not None and self._clock() < expire_time

    def remember(self, subject: str, secret_hash: str, secret: str) -> None:
        """Remembers from now on that the secret was correct."""
        if self._seconds <= 0:
            return
        name = self._name(subject, secret_hash, secret)
        self._expire_times.pop(name, None)
        self._expire_times[name] = self._clock() + self._seconds
        while len(self._expire_times) > self._maximum_remembered:
            self._expire_times.popitem(last=False)

    def _name(self, subject: str, secret_hash: str, secret: str) -> bytes:
        # surrogatepass: a secret comes from a header and may hold any bytes. Without it, encode could raise here.
        text = f"{subject}\0{secret_hash}\0{secret}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)
