"""What compaction deletes.

| A change | is kept |
|---|---|
| younger than `keep_days` | yes |
| older, but a cursor has not passed it | until it is older than `cursor_days` |
| older, and all cursors have passed it | no |
| with more than `most_changes` newer ones | no, whatever the others say |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from svckit.change import K, LogState
    from svckit.changes.settings import ChangeLogSettings
    from svckit.changes.store import ChangeStore

DEFAULT_LIMIT = 10_000
"""The most changes that one call deletes, unless it says otherwise."""

# Deleted in one transaction, in which other writers of SQLite wait.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction has done.

    Attributes:
        deleted: how many changes it has deleted.
        compacted_to: the changes up to this revision are deleted.
        has_more: whether there is more to delete.
    """

    deleted: int
    compacted_to: int
    has_more: bool


async def compact(store: ChangeStore[K], rules: ChangeLogSettings, now: datetime, limit: int = 0) -> Compaction:
    """Deletes changes that need not be kept, the oldest first, in short transactions.

    Args:
        store: the log.
        rules: how long changes are kept.
        now: the present time.
        limit: the most changes; 0 for `DEFAULT_LIMIT`.
    """
    state = await store.state()
    target = await _target(store, state, rules, now)
    end = min(target, state.compacted_to + (limit or DEFAULT_LIMIT))
    compacted_to, deleted = state.compacted_to, 0
    while compacted_to < end:
        compacted_to = min(compacted_to + _BATCH, end)
        deleted += await store.delete_up_to(compacted_to)
    return Compaction(deleted, compacted_to, has_more=compacted_to < target)


async def _target(store: ChangeStore[K], state: LogState, rules: ChangeLogSettings, now: datetime) -> int:
    """The revision up to which changes need not be kept."""
    old = await _last_before(store, state, now - timedelta(days=rules.keep_days))
    # A cursor of another epoch holds nothing back: its reader begins anew in any case.
    read_by_all = min(
        (cursor.position.revision for cursor in await store.cursors() if cursor.position.epoch == state.epoch),
        default=state.newest,
    )
    if read_by_all < old:
        given_up = await _last_before(store, state, now - timedelta(days=rules.cursor_days))
        old = min(old, max(read_by_all, given_up))
    return max(old, state.newest - rules.most_changes)


async def _last_before(store: ChangeStore[K], state: LogState, time: datetime) -> int:
    """The newest revision that is older than a time.

    There is no index by time, which every commit would pay for. Revisions have no gaps and are almost in the order of
    time, so a search by halves needs two dozen look-ups.
    """
    low, high = state.compacted_to, state.newest
    while low < high:
        middle = (low + high + 1) // 2
        found = await store.time_of(middle)
        # None: another compaction has just deleted it.
        if found is None or found < time:
            low = middle
        else:
            high = middle - 1
    return low
