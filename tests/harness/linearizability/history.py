"""What clients did to registers, and what they heard."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["read", "write", "delete"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a register that holds a value, or nothing.

    Attributes:
        kind: what was done.
        key: the register.
        value: what was written, or what was read; None where nothing was there. Of a delete: what it found, if that is
            known.
        called: when it began.
        answered: when its answer was there; None if there was none, so that it may have had its effect, or none.
        found: of a delete, whether there was something to delete.
    """

    kind: Kind
    key: str
    value: str | None
    called: float
    answered: float | None
    found: bool = True


@dataclass
class History:
    """Operations as they end. Times are those of one clock."""

    operations: list[Operation] = field(default_factory=list)

    def read(self, key: str, value: str | None, called: float) -> None:
        """A read that has just been answered."""
        self.operations.append(Operation("read", key, value, called, time.monotonic()))

    def wrote(self, key: str, value: str, called: float) -> None:
        """A write that has just been acknowledged."""
        self.operations.append(Operation("write", key, value, called, time.monotonic()))

    def deleted(self, key: str, called: float, *, found: bool) -> None:
        """A delete that has just been acknowledged, or that found nothing."""
        self.operations.append(Operation("delete", key, None, called, time.monotonic(), found=found))

    def lost(self, kind: Kind, key: str, value: str | None, called: float) -> None:
        """A write or delete whose answer did not come. A read without an answer says nothing."""
        if kind != "read":
            self.operations.append(Operation(kind, key, value, called, None))
