"""What a caller hears when the disk fails."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from svckit.errors import Unavailable
from svckit.logging import get_logger

_log = get_logger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def disk_failures() -> Iterator[None]:
    """Turns what the operating system refuses into UNAVAILABLE, and logs it: whoever runs the disk must see it.

    A full disk is UNAVAILABLE, too: clients come again later, and nothing is wrong with what they sent.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        # Neither path nor text of the system leaves the service.
        _log.error("disk_full" if full else "disk_failed", error=str(error))
        raise Unavailable(message="the blob store is full" if full else "the blob store cannot be used") from error
