"""Bounds in words: clauses that follow the name of a field."""

from __future__ import annotations


def length_words(low: int | None, high: int | None, one: str, many: str) -> str:
    """Such as "has 1 to 255 characters", of "character" and "characters"."""
    if high is None:
        return f"has {low} {one if low == 1 else many} at least"
    unit = one if high == 1 else many
    return f"has {low} to {high} {unit}" if low else f"has {high} {unit} at most"


def range_words(low: int | None, high: int | None) -> str:
    """Such as "is from 1 to 100"."""
    if high is None:
        return f"is {low} or more"
    return f"is {high} at most" if low is None else f"is from {low} to {high}"


def choice_words(texts: tuple[str, ...]) -> str:
    """Such as "is one of: project, system"."""
    return f"is one of: {', '.join(text or 'nothing' for text in texts)}"
