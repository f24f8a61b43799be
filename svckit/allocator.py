"""How the C library's allocator treats large blocks, in processes that move bytes."""

import asyncio
import ctypes

# malloc.h of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_LARGEST_REUSED_BYTES = 8 * 1024 * 1024
_KEPT_FREE_BYTES = 32 * 1024 * 1024
RETURN_EVERY_SECONDS = 15.0
"""How often `return_free_memory` is worth its while."""


def reuse_large_blocks() -> bool:
    """Keep blocks of up to 8 MiB in one heap when they are freed, up to 32 MiB of them.

    To be called before threads start.

    glibc gives each block of 128 KiB and more back to the kernel when it is freed, and a stream of 1 MiB messages takes
    and frees some four of them for each message: the kernel then spends most of its time on clearing pages. Measured on
    ReadBlob: 450 MB/s without this, 700 and more with it. One heap rather than one for each thread keeps what is kept
    within bounds; under the interpreter's lock threads do not allocate at once anyway.

    Returns:
        whether the allocator took it; another one than glibc's is left as it is.
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
    # All of them are tried, whatever becomes of the first.
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)


async def return_free_memory() -> None:
    """Give what is free back to the kernel.

    `reuse_large_blocks` keeps what was freed below something that is still in use, however much that is. Doing this at
    all times is simple, and costs a busy process some milliseconds of clearing pages anew. Another allocator than
    glibc's is left as it is.
    """
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    await asyncio.to_thread(malloc_trim, 0)
