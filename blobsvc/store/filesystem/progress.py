"""What is known of an upload in memory: its running hash, and what is durable."""

import errno
import os
import threading
from dataclasses import dataclass, field
from typing import Self

from blobsvc.domain.model import Upload
from svckit.oci.digest import Digest, Hasher

_BLOCK_BYTES = 1024 * 1024


@dataclass
class Progress:
    """State of a session that is kept in memory between two calls. All of it can be computed again from the disk.

    A thread that hashes beside a writer may still run when the writer has gone. So the running hash has a lock of its
    own.

    Attributes:
        upload: the session's record.
        hasher: the running hash of the first `hashed_bytes`.
        hashed_bytes: how many bytes of the data file are hashed.
        synced_bytes: how many bytes are known to be durable; -1 if unknown.
        named: whether the session's files and folder entries are durable.
        inode: the inode of the data file; None if unknown.
    """

    upload: Upload
    hasher: Hasher
    hashed_bytes: int = 0
    synced_bytes: int = -1
    named: bool = False
    inode: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """The state of a session when nothing else is known."""
        return cls(upload=upload, hasher=Hasher(upload.algorithm))

    def hash_next(self, data: memoryview, position: int) -> None:
        """Hash bytes that were just written, if the running hash covers all bytes before them."""
        with self._lock:
            if self.hashed_bytes == position:
                self.hasher.update(data)
                self.hashed_bytes += len(data)

    def hash_more(self, descriptor: int, algorithm: str, size_bytes: int, limit_bytes: int) -> int:
        """Read and hash bytes that are not hashed yet. Return how many. It blocks.

        Args:
            descriptor: the data file.
            algorithm: if it is another one than that of the running hash, everything is hashed again.
            size_bytes: up to where to hash.
            limit_bytes: the most bytes to hash now.

        Raises:
            OSError: the file cannot be read.
        """
        with self._lock:
            if self.hasher.algorithm != algorithm:
                self.hasher, self.hashed_bytes = Hasher(algorithm), 0
            begin = self.hashed_bytes
            end = min(size_bytes, begin + limit_bytes)
            buffer = memoryview(bytearray(min(_BLOCK_BYTES, max(end - begin, 0))))
            while self.hashed_bytes < end:
                count = os.preadv(descriptor, [buffer[: end - self.hashed_bytes]], self.hashed_bytes)
                if count == 0:
                    raise OSError(errno.EIO, "the data file of an upload has shrunk")
                self.hasher.update(buffer[:count])
                self.hashed_bytes += count
            return self.hashed_bytes - begin

    def digest_of(self, size_bytes: int) -> Digest | None:
        """The digest of the first bytes; None while they are not all hashed."""
        with self._lock:
            return self.hasher.digest() if self.hashed_bytes == size_bytes else None
