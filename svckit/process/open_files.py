"""The limit of open files of this process."""

import resource


def allow_open_files() -> int:
    """Raises the soft limit of open files to the hard limit, as Go's runtime does. Returns the limit.

    Systems start processes with a soft limit of 1,024, for old programs that call `select`. This is less than the
    connections that a gateway accepts.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS refuses more than a limit of its own.
        return soft
    return hard
