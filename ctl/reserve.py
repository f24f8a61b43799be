"""Some space that is kept for the next start.

SQLite needs a few pages for its log when it opens a database. On a full disk it would not get them, and the
registry could not be started to delete something. CockroachDB calls such a file a ballast.
"""

import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 2 * 1024 * 1024
_LEAST_BYTES = 128 * 1024


def release(file: Path) -> bool:
    """Gives the space back if the disk has less free space than that. Returns whether it did."""
    try:
        status = os.statvfs(file.parent)
        if status.f_bavail * status.f_frsize >= RESERVE_BYTES:
            return False
        file.unlink()
    except OSError:
        return False
    return True


def fill(file: Path) -> None:
    """Takes the space if it is not taken yet; as much as there is, if there is less."""
    if file.exists():
        return
    size = RESERVE_BYTES
    while size >= _LEAST_BYTES:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            size //= 2
        else:
            return
        finally:
            os.close(descriptor)
    with suppress(OSError):
        file.unlink()
