"""The checker of histories itself: against known histories, and against all orders of small ones."""

import itertools
import random

import pytest

from tests.harness.linearizability.checker import check
from tests.harness.linearizability.history import Operation


def op(kind: str, value: str | None, called: float, answered: float | None, *, found: bool = True) -> Operation:
    return Operation(kind, "tag", value, called, answered, found=found)  # type: ignore[arg-type]  # short in tables


GOOD = {
    "nothing": [],
    "nothing was there": [op("read", None, 0, 1)],
    "one after another": [op("write", "a", 0, 1), op("read", "a", 2, 3), op("write", "b", 4, 5), op("read", "b", 6, 7)],
    "a read beside a write sees the old or the new": [
        op("write", "a", 0, 1),
        op("write", "b", 2, 9),
        op("read", "a", 3, 4),
        op("read", "b", 5, 6),
        op("read", "b", 10, 11),
    ],
    "writes at the same time have either order": [
        op("write", "a", 0, 9),
        op("write", "b", 1, 8),
        op("read", "b", 10, 11),
        op("read", "b", 10, 11),
    ],
    "a lost write has its effect late": [op("write", "a", 0, None), op("read", None, 1, 2), op("read", "a", 3, 4)],
    "a lost write has no effect": [op("write", "a", 0, None), op("read", None, 1, 2)],
    "a delete": [
        op("write", "a", 0, 1),
        op("delete", None, 2, 3),
        op("read", None, 4, 5),
        op("delete", None, 6, 7, found=False),
    ],
    "of two deletes at once only one finds it": [
        op("write", "a", 0, 1),
        op("delete", None, 2, 9, found=False),
        op("delete", None, 3, 8),
    ],
    "the end of one is the beginning of the other": [op("write", "a", 0, 1), op("read", None, 1, 2)],
}
BAD = {
    "what nobody wrote": [op("read", "a", 0, 1)],
    "a stale read": [op("write", "a", 0, 1), op("write", "b", 2, 3), op("read", "a", 4, 5)],
    "a read from the future": [op("read", "a", 0, 1), op("write", "a", 2, 3)],
    "a lost acknowledged write": [op("write", "a", 0, 1), op("read", None, 2, 3)],
    "back and forth": [
        op("write", "a", 0, 1),
        op("write", "b", 2, 20),
        op("read", "b", 3, 4),
        op("read", "a", 5, 6),
    ],
    "two readers disagree on the order": [
        op("write", "a", 0, 9),
        op("write", "b", 0, 9),
        op("read", "a", 10, 11),
        op("read", "b", 12, 13),
    ],
    "a deleted one comes back": [op("write", "a", 0, 1), op("delete", None, 2, 3), op("read", "a", 4, 5)],
    "two deletes find one thing": [op("write", "a", 0, 1), op("delete", None, 2, 9), op("delete", None, 3, 8)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_has_an_order_passes(name: str) -> None:
    assert check(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_a_history_that_has_none_is_found_and_told(name: str) -> None:
    [violation] = check(BAD[name])

    assert violation.key == "tag"
    assert violation.stuck in violation.operations
    assert str(violation).startswith("tag: no order of")


def test_each_register_is_checked_for_itself() -> None:
    stale = BAD["a stale read"]
    others = [
        Operation(each.kind, "other", each.value, each.called, each.answered) for each in GOOD["one after another"]
    ]
    assert [violation.key for violation in check([*stale, *others])] == ["tag"]


def _has_an_order(operations: list[Operation]) -> bool:
    """The definition itself: some order that keeps the order of what does not overlap explains every answer."""
    answered = [each for each in operations if each.answered is not None]
    lost = [each for each in operations if each.answered is None]
    return any(
        _explains(order)
        for count in range(len(lost) + 1)
        for some in itertools.combinations(lost, count)
        for order in itertools.permutations([*answered, *some])
    )


def _explains(order: tuple[Operation, ...]) -> bool:
    for first, second in itertools.combinations(order, 2):
        if second.answered is not None and second.answered < first.called:
            return False
    state: str | None = None
    for each in order:
        if each.kind == "read" and each.value != state:
            return False
        if each.kind == "delete" and each.answered is not None and each.found != (state is not None):
            return False
        state = {"read": state, "write": each.value, "delete": None}[each.kind]
    return True


def test_it_agrees_with_the_definition_on_small_histories_of_all_kinds() -> None:
    chance = random.Random(7)
    heard = {True: 0, False: 0}
    for _ in range(10_000):
        operations = []
        for _ in range(chance.randint(1, 6)):
            called = chance.randint(0, 12)
            answered = None if chance.random() < 0.1 else called + chance.randint(1, 6)
            kind = chance.choice(["read", "write", "write", "delete"])
            if kind == "read" and answered is None:
                continue
            value = None if kind == "delete" else chance.choice(["a", "b", *([None] if kind == "read" else [])])
            operations.append(op(kind, value, called, answered, found=chance.random() < 0.5))
        expected = _has_an_order(operations)
        heard[expected] += 1
        assert (check(operations) == []) == expected, operations
    assert min(heard.values()) > 1000


def busy(count: int, chance: random.Random) -> list[Operation]:
    """What twenty clients at a time may see of one register."""
    operations: list[Operation] = []
    state: str | None = None
    for number in range(count):
        # The moment at which it happens, somewhere between call and answer.
        moment = float(number)
        called, answered = moment - chance.random() * 10, moment + chance.random() * 10
        if chance.random() < 0.2:
            state = f"value {number}"
            operations.append(op("write", state, called, answered))
        else:
            operations.append(op("read", state, called, answered))
    return operations


def test_a_long_history_with_much_at_once_is_checked_without_recursion() -> None:
    assert check(busy(5000, random.Random(3))) == []


def test_one_stale_read_in_a_busy_history_is_found() -> None:
    chance = random.Random(5)
    operations = busy(400, chance)
    place = next(number for number in range(300, 400) if operations[number].kind == "read")
    old = next(each.value for each in operations if each.kind == "write")
    operations[place] = op("read", old, operations[place].called, operations[place].answered)

    [violation] = check(operations)

    assert violation.longest < 400
