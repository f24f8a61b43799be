"""The pipes through which bytes go from sockets into files."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# Any process may give its pipes this size (`pipe-max-size`).
_PIPE_BYTES = 1024 * 1024


class Pipe:
    """A pipe. It is empty between two uses, and closed with its thread."""

    def __init__(self) -> None:
        """Opens it."""
        self._reads, self._writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._open: tuple[int, ...] = (self._reads, self._writes)
        # Refused if all pipes of this user have many pages (`pipe-user-pages-soft`). A small pipe is slower.
        with suppress(PermissionError):
            fcntl.fcntl(self._writes, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def fill(self, descriptor: int, most_bytes: int) -> int:
        """Takes bytes that a socket has, and returns how many; 0 at its end.

        Raises:
            BlockingIOError: there are none.
            OSError: the connection has failed.
        """
        return os.splice(descriptor, self._writes, min(most_bytes, _PIPE_BYTES), flags=os.SPLICE_F_NONBLOCK)

    def drain(self, write: Callable[[int, int], None], size_bytes: int) -> None:
        """Calls `write` with the descriptor to read from, and how many bytes are there."""
        write(self._reads, size_bytes)

    def close(self) -> None:
        """Closes it, and drops what is in it."""
        descriptors, self._open = self._open, ()
        for descriptor in descriptors:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class _Kept(threading.local):
    pipe: Pipe | None = None


_kept = _Kept()


@contextmanager
def pipe_of_thread() -> Iterator[Pipe]:
    """The pipe of this thread. After an error, bytes may be in it, and the next use has a new one."""
    pipe, _kept.pipe = _kept.pipe or Pipe(), None
    try:
        yield pipe
    except BaseException:
        pipe.close()
        raise
    _kept.pipe = pipe
