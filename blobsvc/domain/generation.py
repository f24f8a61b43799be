"""Generations: which upload of a digest some stored bytes are."""

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
    """The number of one upload of a digest. Later uploads have larger ones, and none is ever used again.

    As text it has 19 digits, so that texts sort as the numbers do.

    Raises:
        ValueError: not between 1 and 2^63 - 1.
    """

    number: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= _MAXIMUM:
            raise ValueError("a generation is between 1 and 2^63 - 1")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the 19 digits of `str`.

        Raises:
            ValueError: it is not that.
        """
        if len(text) != _DIGITS or not text.isascii() or not text.isdigit():
            raise ValueError("a generation has 19 digits")
        return cls(int(text))

    def __str__(self) -> str:
        return f"{self.number:0{_DIGITS}d}"


class GenerationClock:
    """Gives generations: microseconds since the epoch with ten random bits below, always larger than the last one.

    One process never gives the same twice. Two replicas would have to give one in the same microsecond with the same
    random bits, to uploads of the same bytes; the store refuses the second one even then. 63 bits last until 2255.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Builds the clock.

        Args:
            now_ns: nanoseconds since the epoch.
        """
        self._now_ns = now_ns
        self._last = 0

    def next(self) -> Generation:
        """A generation that was not given before."""
        number = (self._now_ns() // 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        # The wall clock may stand still or be set back.
        self._last = max(number, self._last + 1)
        return Generation(self._last)
