"""Remembers answers for a short time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Recent(Generic[T]):
    """Answers of the last seconds, by question, within a bound. None is not an answer."""

    def __init__(self, ttl_seconds: float, clock: Callable[[], float], max_answers: int) -> None:
        """Starts empty.

        Args:
            ttl_seconds: how long an answer is valid.
            clock: returns monotonic seconds.
            max_answers: how many answers are kept; the oldest is dropped first.
        """
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._max_answers = max_answers
        self._answers: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def find(self, key: Hashable) -> T | None:
        """The answer, if there is one that is still valid."""
        expire_time, answer = self._answers.get(key, (0.0, None))
        return answer if self._clock() < expire_time else None

    def expire_time(self) -> float:
        """The expire time for a question that is asked now. It counts from the question: the answer may be as old."""
        return self._clock() + self._ttl_seconds

    def keep(self, key: Hashable, answer: T, expire_time: float) -> None:
        """Remembers an answer until its expire time."""
        self._answers[key] = (expire_time, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._max_answers:
            self._answers.popitem(last=False)
