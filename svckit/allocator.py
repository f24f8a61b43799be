"""Settings of the C library's allocator, and the return of its free memory."""

import asyncio
import ctypes
import gc

# malloc.h of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_LARGEST_REUSED_BYTES = 8 * 1024 * 1024
_KEPT_FREE_BYTES = 32 * 1024 * 1024
RETURN_EVERY_SECONDS = 15.0
"""How often to call `return_free_memory`."""


def reuse_large_blocks() -> bool:
    """Keep freed blocks of up to 8 MiB in one heap, 32 MiB in total.

    Call this before threads start.

    glibc returns each block of 128 KiB and more to the kernel when it is freed. A stream of 1 MiB messages allocates
    and frees about four of them for each message, and the kernel spends most of its time on clearing pages. Measured
    with ReadBlob: 450 MB/s without this, 700 and more with it. There is one heap instead of one for each thread, to
    limit the memory that is kept. That costs nothing, because the interpreter's lock lets only one thread allocate at a
    time.

    Returns:
        whether the allocator accepted the settings. Allocators other than glibc's are not changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, _LARGEST_REUSED_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES),
    )
    # All settings are tried, even if one fails.
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)


def keep_what_the_start_made() -> None:
    """Leave the objects that exist now out of all garbage collections. Call this when serving begins.

    Modules, contracts and routes live as long as the process. Without them, a full collection takes a few milliseconds
    instead of a hundred.
    """
    gc.collect()
    gc.freeze()


async def return_free_memory() -> None:
    """Collect garbage, and return free memory to the kernel.

    The state of a connection that broke off is freed only by a full collection, and Python makes one only when there is
    a quarter more than what lives: tens of megabytes in the gateway.

    Free memory below a block in use is never returned by itself, however much it is: after a flood of calls, metasvc
    kept 460 MB for good. Calling this regularly is simple, and costs a busy process only some milliseconds of clearing
    pages again. Allocators other than glibc's are not changed.
    """
    gc.collect()
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    await asyncio.to_thread(malloc_trim, 0)
