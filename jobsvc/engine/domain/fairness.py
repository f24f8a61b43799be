"""Which tasks a claim takes, of all that wait.

The order is: priority, then the kind that has the smallest part of its places, then age. So a thousand long tasks of
one kind do not keep others waiting: as soon as a place is free, a kind with nothing running comes first. One place of
the installation is kept for that: no kind has all of them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobsvc.engine.domain.model import Head


def places_of(concurrency: int | None, all_places: int) -> int:
    """How many tasks of a kind may run at once.

    Args:
        concurrency: its limit; None for none.
        all_places: how many tasks all workers together run at once.
    """
    # The last place is for another kind, or a short task would wait for the end of a long one.
    most = max(all_places - 1, 1)
    return most if concurrency is None else min(concurrency, most)


def share_out(
    heads: Iterable[Head], running: Mapping[str, int], places_of_kind: Callable[[str], int], places: int
) -> list[Head]:
    """Chooses tasks for the free places of a worker, in the order in which they should start.

    Args:
        heads: the first tasks of each queue that is not paused, in its order: as many as there are places.
        running: how many tasks run, by kind.
        places_of_kind: how many tasks of a kind may run at once.
        places: how many places are free.
    """
    queues: dict[str, deque[Head]] = defaultdict(deque)
    for head in heads:
        queues[head.kind].append(head)
    busy = {kind: running.get(kind, 0) for kind in queues}
    most = {kind: places_of_kind(kind) for kind in queues}
    chosen: list[Head] = []
    while len(chosen) < places:
        open_kinds = [kind for kind, queue in queues.items() if queue and busy[kind] < most[kind]]
        if not open_kinds:
            break
        kind = min(open_kinds, key=lambda each: _rank(queues[each][0], busy[each] / most[each]))
        chosen.append(queues[kind].popleft())
        busy[kind] += 1
    return chosen


def _rank(head: Head, share: float) -> tuple[object, ...]:
    return head.priority, share, head.queue_time, head.id
