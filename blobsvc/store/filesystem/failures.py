"""What a caller hears when the disk fails."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from svckit.errors import Unavailable, error_for
from svckit.logging import get_logger

_log = get_logger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the operating system says of a disk without room."""


@contextmanager
def disk_failures() -> Iterator[None]:
    """Turns what the operating system refuses into UNAVAILABLE, and logs it: whoever runs the disk must see it.

    A full disk is STORAGE_FULL: nothing is wrong with what the client sent, and coming again at once is no use.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        # Neither path nor text of the system leaves the service.
        _log.error("disk_full" if full else "disk_failed", error=str(error))
        if full:
            raise error_for("STORAGE_FULL") from error
        raise Unavailable(message="the blob store cannot be used") from error
