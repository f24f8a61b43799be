"""How long a worker waits before it calls jobsvc again after a failure."""

from __future__ import annotations

import asyncio
import random

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 5.0


class Pause:
    """Longer after each failure in a row. Each wait is shortened by chance, so that not all workers come at once."""

    def __init__(self) -> None:
        """Starts with the shortest."""
        self._seconds = _FIRST_SECONDS

    def reset(self) -> None:
        """A call has succeeded."""
        self._seconds = _FIRST_SECONDS

    async def wait(self) -> None:
        """Waits after a failure."""
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1.0))  # noqa: S311 - no secret hangs on it
        self._seconds = min(2 * self._seconds, _LONGEST_SECONDS)
