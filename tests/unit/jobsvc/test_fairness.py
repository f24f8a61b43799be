"""Which tasks a claim takes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobsvc.engine.domain.fairness import places_of, share_out
from jobsvc.engine.domain.model import Head

START = datetime(2026, 11, 27, tzinfo=UTC)


def queue(kind: str, count: int, *, first: int = 0, priority: int = 100) -> list[Head]:
    return [
        Head(kind=kind, id=number, priority=priority, queue_time=START + timedelta(seconds=number))
        for number in range(first, first + count)
    ]


def kinds_of(chosen: Sequence[Head]) -> list[str]:
    return [head.kind for head in chosen]


def test_kinds_take_turns_and_the_oldest_begins() -> None:
    heads = [*queue("A", 5), *queue("B", 5, first=10)]

    assert kinds_of(share_out(heads, {}, lambda _: 9, 5)) == ["A", "B", "A", "B", "A"]


def test_a_kind_that_runs_already_comes_later() -> None:
    heads = [*queue("A", 5), *queue("B", 5, first=10)]

    assert kinds_of(share_out(heads, {"A": 2}, lambda _: 9, 3)) == ["B", "B", "A"]


def test_what_runs_counts_in_proportion_to_what_may_run() -> None:
    heads = [*queue("A", 5), *queue("B", 5, first=10)]
    places = {"A": 2, "B": 10}

    # A has half of its places, B a fifth.
    assert kinds_of(share_out(heads, {"A": 1, "B": 2}, places.__getitem__, 3)) == ["B", "B", "B"]


def test_a_smaller_priority_comes_first_whatever_runs() -> None:
    heads = [*queue("A", 2), *queue("B", 2, first=10, priority=5)]

    assert kinds_of(share_out(heads, {"B": 3}, lambda _: 9, 3)) == ["B", "B", "A"]


def test_no_kind_has_more_than_its_places() -> None:
    heads = [*queue("A", 5), *queue("B", 5, first=10)]
    places = {"A": 2, "B": 1}

    assert kinds_of(share_out(heads, {"A": 1}, places.__getitem__, 9)) == ["B", "A"]


def test_one_place_of_all_is_for_another_kind() -> None:
    assert [places_of(None, all_places) for all_places in (0, 1, 2, 10)] == [1, 1, 1, 9]
    assert [places_of(3, all_places) for all_places in (1, 3, 10)] == [1, 2, 3]


QUEUES = st.dictionaries(st.sampled_from("ABCD"), st.integers(0, 8))


@given(waiting=QUEUES, running=QUEUES, limits=QUEUES, places=st.integers(0, 12))
def test_as_many_as_possible_are_taken_from_the_heads_of_their_queues(
    waiting: Mapping[str, int], running: Mapping[str, int], limits: Mapping[str, int], places: int
) -> None:
    heads = [head for kind, count in waiting.items() for head in queue(kind, count)]

    def places_of_kind(kind: str) -> int:
        return limits.get(kind, 0) + 1

    chosen = share_out(heads, running, places_of_kind, places)

    by_kind = {kind: [head for head in chosen if head.kind == kind] for kind in waiting}
    free = {kind: max(places_of_kind(kind) - running.get(kind, 0), 0) for kind in waiting}
    assert len(chosen) == min(places, sum(min(count, free[kind]) for kind, count in waiting.items()))
    assert all(len(taken) <= free[kind] for kind, taken in by_kind.items())
    assert all([head.id for head in taken] == list(range(len(taken))) for taken in by_kind.values())
