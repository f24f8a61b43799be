"""Updates that take place only where nobody else's came between."""

from __future__ import annotations

from typing import Protocol

from svckit.errors import FieldViolation, Precondition


class Tagged(Protocol):
    """What has an etag, which is another one after each change."""

    @property
    def etag(self) -> str:
        """Of its state now."""


def check_etag(expected: str, current: Tagged) -> None:
    """Holds the etag that the caller has read against the one of now. Lock the row before.

    Args:
        expected: as the caller sent it, in quotes or without, as HTTP has it; empty or "*" to change whatever is there.
        current: what is about to be changed.

    Raises:
        DomainError: PRECONDITION; it has been changed since.
    """
    if expected not in ("", "*") and expected.strip('"') != current.etag:
        raise Precondition(
            message="it has been changed since it was read: read it again, and decide anew",
            violations=[FieldViolation("etag", "is of an earlier state")],
        )
