"""Sayings."""

from __future__ import annotations

from svckit.errors import NotFound

_SAYINGS = ("Ships are safe in the roadstead", "A full hold sails slowly")


def say(number: int, ending: str) -> str:
    """The saying of a number.

    Raises:
        DomainError: NOT_FOUND.
    """
    if not 0 < number <= len(_SAYINGS):
        raise NotFound
    return _SAYINGS[number - 1] + ending
