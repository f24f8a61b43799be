"""What connections leave in memory when they end."""

import gc

TLS_BYTES = 512 * 1024
"""The buffers of a TLS connection, in both directions."""
REQUEST_BYTES = 1024 * 1024
"""The largest piece of an answer that was being sent."""
_MOST_BYTES = 16 * 1024 * 1024


class Remains:
    """Collects garbage when ended connections may hold much memory.

    The objects of a connection refer to each other, so only the garbage collector frees them. They are few, but large,
    and the collector counts objects. So clients that open and close TLS connections would fill hundreds of megabytes
    before it begins.
    """

    def __init__(self) -> None:
        """Starts without any."""
        self._bytes = 0

    def add(self, size_bytes: int) -> None:
        """Counts what one connection may leave. Call it when its task has ended."""
        self._bytes += size_bytes
        if self._bytes >= _MOST_BYTES:
            self._bytes = 0
            gc.collect()
