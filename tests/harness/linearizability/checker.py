"""Checks that a history of registers is linearizable.

The algorithm is that of Wing and Gong ("Testing and verifying concurrent objects", 1993), with the memory of states by
Lowe ("Testing for linearizability", 2017), as Porcupine has it. Registers do not depend on each other, so each is
checked alone (Herlihy and Wing's locality). What changes nothing is put in its place as soon as it fits: if there is an
order at all, there is one with it there. So the search branches at writes only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.harness.linearizability.history import Operation


@dataclass(frozen=True)
class Violation:
    """A register whose history cannot be put in an order.

    Attributes:
        key: the register.
        operations: its operations, by the time of their call.
        longest: how many of them could be put in an order.
        stuck: the first operation, by the time of its answer, that fits nowhere after those.
    """

    key: str
    operations: Sequence[Operation]
    longest: int
    stuck: Operation

    def __str__(self) -> str:
        around = [op for op in self.operations if _overlaps(op, self.stuck)]
        lines = [f"{self.key}: no order of {len(self.operations)} operations; {self.longest} have one, then:"]
        lines += [f"{'>' if op is self.stuck else ' '} {op}" for op in around[:40]]
        return "\n".join(lines)


def check(operations: Iterable[Operation]) -> list[Violation]:
    """Finds the registers whose operations have no order that explains all answers. Each is empty at first."""
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    found = (_check_register(key, sorted(each, key=lambda op: op.called)) for key, each in sorted(by_key.items()))
    return [violation for violation in found if violation is not None]


class _Entry:
    """The call or the answer of an operation, in a list that is linked both ways and ordered by time."""

    __slots__ = ("after", "answer", "before", "number", "operation")

    def __init__(self, operation: Operation, number: int, answer: _Entry | None) -> None:
        self.operation = operation
        self.number = number
        # Of a call, its answer; None marks an answer.
        self.answer = answer
        self.before: _Entry | None = None
        self.after: _Entry | None = None


def _check_register(key: str, operations: Sequence[Operation]) -> Violation | None:
    head = _linked(operations)
    done = 0
    state: str | None = None
    seen: set[tuple[int, str | None]] = set()
    order: list[tuple[_Entry, str | None]] = []
    longest = 0
    stuck: Operation | None = None
    entry = head.after
    while entry is not None:
        if entry.answer is not None:
            follows, after = _step(state, entry.operation)
            reached = (done | 1 << entry.number, after)
            if follows and (not _changes(entry.operation) or reached not in seen):
                if _changes(entry.operation):
                    seen.add(reached)
                order.append((entry, state))
                done, state = reached
                _lift(entry)
                entry = head.after
            else:
                entry = entry.after
            continue
        # The answer of an operation that has no place yet: one of those before it is in the wrong place.
        if len(order) >= longest:
            longest, stuck = len(order), entry.operation
        following = entry
        while order:
            last, state = order.pop()
            done &= ~(1 << last.number)
            _unlift(last)
            if _changes(last.operation):
                # Without this change, what comes after it may fit.
                following = last
                break
        else:
            return Violation(key, operations, longest, stuck or entry.operation)
        entry = following.after
    return None


def _step(state: str | None, operation: Operation) -> tuple[bool, str | None]:
    """Whether the operation could happen in this state, and the state after it."""
    match operation.kind:
        case "read":
            return operation.value == state, state
        case "write":
            return True, operation.value
        case "delete":
            # Without an answer, nobody knows what it found.
            return operation.answered is None or operation.found == (state is not None), None


def _changes(operation: Operation) -> bool:
    """Whether it may change its register, in any state."""
    return operation.kind == "write" or (operation.kind == "delete" and (operation.answered is None or operation.found))


def _linked(operations: Sequence[Operation]) -> _Entry:
    """The calls and answers by time. What was not answered is answered at the end, so it may happen at any time."""
    entries: list[tuple[float, int, _Entry]] = []
    for number, operation in enumerate(operations):
        answer = _Entry(operation, number, None)
        answered = float("inf") if operation.answered is None else operation.answered
        # At the same time, calls come first: then the two overlap, and either order is allowed.
        entries += [(operation.called, 0, _Entry(operation, number, answer)), (answered, 1, answer)]
    entries.sort(key=lambda each: each[:2])
    head = last = _Entry(operations[0], -1, None)
    for _, _, entry in entries:
        last.after, entry.before = entry, last
        last = entry
    return head


def _lift(entry: _Entry) -> None:
    """Takes a call and its answer out of the list."""
    for each in (entry, entry.answer):
        if each is None or each.before is None:
            raise RuntimeError("only a call that is in the list can be taken out")
        each.before.after = each.after
        if each.after is not None:
            each.after.before = each.before


def _unlift(entry: _Entry) -> None:
    """Puts a call and its answer back where they were."""
    for each in (entry.answer, entry):
        if each is None or each.before is None:
            raise RuntimeError("only a call that was taken out can be put back")
        each.before.after = each
        if each.after is not None:
            each.after.before = each


def _overlaps(one: Operation, other: Operation) -> bool:
    ends = [float("inf") if op.answered is None else op.answered for op in (one, other)]
    return one.called <= ends[1] and other.called <= ends[0]
