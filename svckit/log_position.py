"""A position in the change log of a service (`svckit.change`). Registry tokens state one, too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """A position in a change log.

    Attributes:
        epoch: the epoch of the log. It is new after each restore from a backup. Revisions of different epochs cannot be
            compared.
        revision: the revision of the newest change; 0 before the first one.
    """

    epoch: str
    revision: int
