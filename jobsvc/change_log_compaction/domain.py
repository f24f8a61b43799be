"""Changes that nobody needs any more."""

from __future__ import annotations

from dataclasses import dataclass

from jobsvc.engine.domain.kind import Backoff, Kind

KIND = Kind(
    name="CHANGE_LOG_COMPACTION",
    concurrency=1,
    maximum_failures=3,
    backoff=Backoff(first_seconds=60),
    # Every hour, so that each time there is little to delete.
    default_schedule="0 30 * * * *",
    kept_executions=20,
    may_be_started=True,
)
"""Deletes the oldest changes of the logs of metasvc and authsvc: those that their settings `changes.…` do not keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What one call has deleted.

    Attributes:
        deleted: how many changes.
        compacted_to: the changes up to this revision are deleted.
        has_more: whether there is more to delete.
    """

    deleted: int
    compacted_to: int
    has_more: bool
