"""The memory that bodies share."""

import pytest

from svckit.errors import DomainError
from svckit.memory import BodyMemory


def refusal(memory: BodyMemory, subject: str | None, size_bytes: int) -> str:
    with pytest.raises(DomainError) as refused:
        memory.hold(subject, size_bytes)
    return refused.value.reason


def test_all_callers_together_hold_the_limit_only() -> None:
    memory = BodyMemory(100, 60)
    memory.hold("user:1", 60)
    memory.hold("user:2", 40)
    assert refusal(memory, "user:3", 1) == "OVERLOADED"


def test_one_caller_holds_a_share_and_so_do_all_without_credentials() -> None:
    memory = BodyMemory(100, 40)
    for subject in ("user:1", None):
        memory.hold(subject, 40)
        assert refusal(memory, subject, 1) == "TOOMANYREQUESTS"


def test_what_is_released_can_be_held_again() -> None:
    memory = BodyMemory(100, 100)
    release = memory.hold("user:1", 100)
    assert refusal(memory, "user:1", 1) == "OVERLOADED"
    release()
    assert memory.held_bytes == 0
    memory.hold("user:1", 100)


def test_one_body_larger_than_the_share_is_possible_while_its_caller_holds_nothing_else() -> None:
    memory = BodyMemory(100, 10)
    memory.hold("user:1", 50)
    assert refusal(memory, "user:1", 1) == "TOOMANYREQUESTS"
