"""Read-only mode, which metasvc tells again and again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LASTS_SECONDS = 15.0
"""How long uploads are refused after metasvc has said so. It says so every two seconds."""


class ReadOnlyMode:
    """Has uploads refused as long as metasvc says so.

    With several replicas, metasvc may change over to another one, and tell this one nothing more. Without an end of the
    mode, this one would then refuse uploads for ever. Uploads do no harm meanwhile: metasvc links none of them.
    """

    def __init__(self, refuse_uploads: Callable[[bool], None], lasts_seconds: float = LASTS_SECONDS) -> None:
        """Takes the function that has uploads refused, or not any more."""
        self._refuse_uploads = refuse_uploads
        self._lasts_seconds = lasts_seconds
        self._end: asyncio.TimerHandle | None = None

    def tell(self, *, read_only: bool) -> None:
        """Begins, prolongs or ends the mode."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._refuse_uploads(read_only)
        if read_only:
            self._end = asyncio.get_running_loop().call_later(self._lasts_seconds, partial(self.tell, read_only=False))
