"""Reads new changes once for all readers of a process, and keeps the recent ones.

Readers that keep up take changes from here, so a hundred of them cost one query for each commit. A reader that is
further behind reads pages from the database by itself. So it holds nobody up, and what is kept here is bounded.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Generic

from svckit.change import ChangePage, CommittedChange, K, LogPosition, LogState, byte_estimate
from svckit.errors import DomainError
from svckit.rpc.follow import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svckit.change import ChangeFilter
    from svckit.changes.store import ChangeStore

PAGE_CHANGES = 100
"""The most changes that a reader is given at once."""

_RECENT_CHANGES = 2000
_RECENT_BYTES = 4 * 1024 * 1024
# How long to gather commits before they are read, so that a thousand of them each second are not a thousand queries.
_GATHER_SECONDS = 0.01
# How many changes that do not match a reader passes by at once, before others have their turn.
_LOOK_AT = 1000


class ChangeFeed(Generic[K]):
    """The recent changes of a log."""

    def __init__(self, store: ChangeStore[K], *, poll_seconds: float | None) -> None:
        """Starts without changes. `run` reads them.

        Args:
            store: the log.
            poll_seconds: how often to look for changes that other processes commit; None if there are no others.
        """
        self._store = store
        self._poll_seconds = poll_seconds
        self._readers = 0
        self._first_reader = asyncio.Event()
        self._commits = Notifier()
        self._news = Notifier()
        # The state of the log when it was last read; None while nobody reads. `_recent` are the changes up to then,
        # without gaps.
        self._state: LogState | None = None
        self._recent: list[CommittedChange[K]] = []
        self._recent_bytes = 0

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return self._readers

    @property
    def kept_bytes(self) -> int:
        """About how many bytes of changes are kept here."""
        return self._recent_bytes

    @property
    def news(self) -> asyncio.Event:
        """Is set when there may be new changes. Take it before `recent`: otherwise changes in between are missed."""
        return self._news.next()

    def notify(self) -> None:
        """Tells that this process has committed a change."""
        self._commits.notify()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One more reader inside the block."""
        self._readers += 1
        self._first_reader.set()
        try:
            yield
        finally:
            self._readers -= 1

    def recent(self, after: LogPosition, wanted: ChangeFilter[K]) -> ChangePage[K] | None:
        """The changes after a position, if all of them are here; None if the database must be asked."""
        state = self._state
        if state is None or after.epoch != state.epoch:
            return None
        oldest = state.newest - len(self._recent)
        if not oldest <= after.revision <= state.newest:
            return None
        found: list[CommittedChange[K]] = []
        read_to = after.revision
        begin = after.revision - oldest
        for committed in islice(self._recent, begin, begin + _LOOK_AT):
            read_to = committed.revision
            if wanted.matches(committed.change):
                found.append(committed)
                if len(found) == PAGE_CHANGES:
                    break
        return ChangePage(
            changes=tuple(found),
            position=LogPosition(epoch=state.epoch, revision=read_to),
            newest=state.newest,
            compacted_to=state.compacted_to,
        )

    async def run(self) -> None:
        """Reads new changes as long as somebody follows the log. Ends only by an error or a cancellation.

        Raises:
            DomainError: the database does not answer. Readers ask it by themselves then, and hear so.
        """
        try:
            while True:
                self._forget()
                self._first_reader.clear()
                if self._readers == 0:
                    await self._first_reader.wait()
                self._begin(await self._store.state())
                while self._readers > 0:
                    commit = self._commits.next()
                    if not await self._read_news():
                        break
                    await self._wait_for(commit)
        finally:
            self._forget()

    def _begin(self, state: LogState) -> None:
        self._state = state
        # Those who came before this have read the database. Something may have been committed since.
        self._news.notify()

    def _forget(self) -> None:
        self._state = None
        self._recent.clear()
        self._recent_bytes = 0

    async def _read_news(self) -> bool:
        """Reads all new changes. Returns whether to go on; otherwise the log is another one now, so begin anew."""
        while (state := self._state) is not None:
            try:
                page = await self._store.read(state.position)
            except DomainError as error:
                if error.reason not in ("EPOCH_MISMATCH", "REVISION_COMPACTED", "REVISION_AHEAD"):
                    raise
                return False
            if not page.changes:
                return True
            self._add(page)
            self._news.notify()
            if not page.has_more:
                return True
        return False

    def _add(self, page: ChangePage[K]) -> None:
        self._recent += page.changes
        self._recent_bytes += sum(map(byte_estimate, page.changes))
        dropped = 0
        while len(self._recent) - dropped > _RECENT_CHANGES or self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= byte_estimate(self._recent[dropped])
            dropped += 1
        del self._recent[:dropped]
        # Up to the last change that is here. What is newer in the database is read next.
        self._state = LogState(epoch=page.position.epoch, newest=page.position.revision, compacted_to=page.compacted_to)

    async def _wait_for(self, commit: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await commit.wait()
        except TimeoutError:
            # Time to look for what other processes have committed.
            return
        await asyncio.sleep(_GATHER_SECONDS)
