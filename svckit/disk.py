"""What all writers of blob files need: how much to write at once, and what to say when the disk fails."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from svckit.errors import Unavailable, error_for
from svckit.logging import get_logger

_log = get_logger(__name__)

WRITE_BYTES = 64 * 1024
"""The most bytes to give to one `write`.

The kernel allocates pages as large as the write. On a virtual machine whose host takes back free memory, large ones
have to be fetched from the host: a MiB in one write took 1.5 ms of CPU time, and in writes of 64 KiB 0.3 ms. On other
machines, large writes are a little faster.
"""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The error numbers of a full disk or quota."""


@contextmanager
def disk_failures() -> Iterator[None]:
    """Turns an OSError into UNAVAILABLE, and logs it for the operator.

    A full disk becomes STORAGE_FULL instead, because the request is correct, but an immediate retry fails again.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        # The path and the text of the OSError are logged only. Callers must not see them.
        _log.error("disk_full" if full else "disk_failed", error=str(error))
        if full:
            raise error_for("STORAGE_FULL") from error
        raise Unavailable(message="the blob store cannot be used") from error
