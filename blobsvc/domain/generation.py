"""Generations: numbers that tell several uploads of the same digest apart."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_DIGITS = 19
_MAXIMUM = 2**63 - 1
_RANDOM_BITS = 10


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """The number of one upload of a digest. Later uploads have larger numbers. A number is never used again.

    Its text has 19 digits, so that texts sort like the numbers.

    Raises:
        ValueError: the number is not between 1 and 2^63 - 1.
    """

    number: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= _MAXIMUM:
            raise ValueError("a generation must be between 1 and 2^63 - 1")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the 19 digits of `str`.

        Raises:
            ValueError: the text is not 19 digits.
        """
        if len(text) != _DIGITS or not text.isascii() or not text.isdigit():
            raise ValueError("a generation must have 19 digits")
        return cls(int(text))

    def __str__(self) -> str:
        return f"{self.number:0{_DIGITS}d}"


class GenerationClock:
    """Makes generations: microseconds since the epoch, followed by ten random bits. Each is larger than the last one.

    One process never makes the same number twice. Two replicas make the same number only in the same microsecond and
    with the same random bits. If both uploads also have the same digest, the store refuses the second one. 63 bits
    last until 2255.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Builds the clock.

        Args:
            now_ns: nanoseconds since the epoch.
        """
        self._now_ns = now_ns
        self._last = 0

    def next(self) -> Generation:
        """A generation that was not used before."""
        number = (self._now_ns() // 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        # The wall clock may return the same time twice, or be set back.
        self._last = max(number, self._last + 1)
        return Generation(self._last)
