"""Conditions of a write (RFC 9110 §13.1): which digests a reference may name before it."""

from __future__ import annotations

from dataclasses import dataclass

from svckit.errors import Precondition

ANY = "*"


@dataclass(frozen=True, slots=True)
class Conditions:
    """If-Match and If-None-Match of a write. Check them under the lock of what is written.

    Attributes:
        if_match: the reference must name one of these digests, or exist for `ANY`; empty for no condition.
        if_none_match: the reference may not name one of these digests, or exist for `ANY`; empty for no condition.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()

    def check(self, current: str | None) -> None:
        """Compares with the digest that the reference names now; None if it does not exist.

        Raises:
            DomainError: PRECONDITION.
        """
        if self.if_match and (current is None or not _names(self.if_match, current)):
            raise _unmet("If-Match", current)
        if current is not None and _names(self.if_none_match, current):
            raise _unmet("If-None-Match", current)


NO_CONDITIONS = Conditions()


def _names(digests: tuple[str, ...], current: str) -> bool:
    return ANY in digests or current in digests


def _unmet(condition: str, current: str | None) -> Precondition:
    found = "the reference does not exist" if current is None else f"the reference points at {current}"
    return Precondition("PRECONDITION", f"{condition} does not hold: {found}", metadata={"current": current or ""})
