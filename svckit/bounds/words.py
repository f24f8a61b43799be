"""Bounds in words, as texts that follow the name of a field."""

from __future__ import annotations

REQUIRED = "must be set"


def length_words(low: int | None, high: int | None, one: str, many: str) -> str:
    """Such as "must have 1 to 255 characters", of "character" and "characters"."""
    if high is None:
        return f"must have at least {low} {one if low == 1 else many}"
    unit = one if high == 1 else many
    return f"must have {low} to {high} {unit}" if low else f"must have at most {high} {unit}"


def range_words(low: int | None, high: int | None) -> str:
    """Such as "must be from 1 to 100"."""
    if high is None:
        return f"must be at least {low}"
    return f"must be at most {high}" if low is None else f"must be from {low} to {high}"


def choice_words(texts: tuple[str, ...]) -> str:
    """Such as "must be one of: project, system"."""
    allowed = f"must be one of: {', '.join(filter(None, texts))}"
    return f"{allowed}; or empty" if "" in texts else allowed
