"""The lock of a SQLite file."""

import fcntl
import os
from pathlib import Path

from svckit.durable import write_process_id
from svckit.sql.errors import DatabaseInUseError


class FileLock:
    """A lock on a file. It is held until `release`, or until the process ends in any way."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> "FileLock":
        """Takes the lock. Raises DatabaseInUseError if another process has it, OSError if there can be no file."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # flock is used instead of lockf: with POSIX locks, closing any descriptor of the file would drop the lock.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            database = path.name.removesuffix(".lock")
            raise DatabaseInUseError(
                error.errno, f"{database} is open already (process {holder}); one process per database file", str(path)
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        write_process_id(descriptor)
        return cls(descriptor)

    def release(self) -> None:
        """Releases the lock. The file stays: without it, two processes could lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
