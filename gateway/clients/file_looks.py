"""Looks at the files of blobs: whether they are still there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gateway.clients.store_folder import OtherStoreError, PlacedFile, look_at
from svckit.errors import error_for
from svckit.threads import BlockingPool

# A file that the disk has to be asked for holds up those that are looked at after it.
_MOST_TOGETHER = 16

_Outcome = bool | OtherStoreError | None
_Waiter = tuple[PlacedFile, "asyncio.Future[_Outcome]"]


class FileLooks:
    """Looks at files in threads, many at once.

    A disk may hang, so the event loop itself never looks. But asking a thread takes ten times as long as a look. So the
    looks that are wanted in one turn of the event loop, such as those after a batch of answers, go together.
    """

    def __init__(self, folder: Path, pool: BlockingPool, longest_seconds: float) -> None:
        """Takes the folder of the store.

        Args:
            folder: the folder.
            pool: the threads that look.
            longest_seconds: how long to wait for a disk that does not answer.
        """
        self._folder = folder
        self._pool = pool
        self._longest_seconds = longest_seconds
        self._waiting: list[_Waiter] = []

    async def is_there(self, place: PlacedFile) -> bool:
        """Whether the file is still the one that blobsvc named.

        Raises:
            OtherStoreError: the folder is not that of its store.
            DomainError: UNAVAILABLE, the disk does not answer.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Outcome] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send, loop)
        self._waiting.append((place, answer))
        outcome = await answer
        if outcome is None:
            raise error_for("UNAVAILABLE", "the blob folder does not answer")
        if isinstance(outcome, OtherStoreError):
            raise outcome
        return outcome

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), _MOST_TOGETHER):
            group = waiting[first : first + _MOST_TOGETHER]
            looking = self._pool.run(look_at, self._folder, [place for place, _ in group])
            # One that no thread has begun after that time is dropped.
            timer = loop.call_later(self._longest_seconds, looking.cancel)
            looking.add_done_callback(partial(_tell, group, timer))


def _tell(
    group: Sequence[_Waiter], timer: asyncio.TimerHandle, looking: asyncio.Future[list[bool | OtherStoreError]]
) -> None:
    timer.cancel()
    outcomes: Sequence[_Outcome] = [None] * len(group) if looking.cancelled() else looking.result()
    for (_, answer), outcome in zip(group, outcomes, strict=True):
        if not answer.done():
            answer.set_result(outcome)
