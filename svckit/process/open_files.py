"""The limit of open files of this process."""

import resource
from contextlib import suppress


def allow_open_files() -> None:
    """Raises the soft limit of open files to the hard limit, as Go's runtime does.

    Systems start processes with a soft limit of 1,024, for old programs that call `select`. This is less than the
    connections that a gateway accepts.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS refuses more than a limit of its own.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
