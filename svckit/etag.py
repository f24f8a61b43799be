"""Etags: an update is refused if the object was changed after the caller read it."""

from __future__ import annotations

from typing import Protocol

from svckit.errors import FieldViolation, Precondition


class Tagged(Protocol):
    """An object with an etag. The etag changes with each change of the object."""

    @property
    def etag(self) -> str:
        """The etag of the current state."""


def check_etag(expected: str, current: Tagged) -> None:
    """Compares the caller's etag with the current one. Lock the row before this.

    Args:
        expected: the etag that the caller sent, with or without quotes (HTTP has them). Empty or "*" matches any state.
        current: the object that is going to be changed.

    Raises:
        DomainError: PRECONDITION if the object was changed after the caller read it.
    """
    if expected not in ("", "*") and expected.strip('"') != current.etag:
        raise Precondition(
            message="the object was changed after it was read: read it again before changing it",
            violations=[FieldViolation("etag", "belongs to an earlier state")],
        )
