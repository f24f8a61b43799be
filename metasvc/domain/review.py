"""When the collector, which is still to come, looks at what may have become garbage.

A digest is queued when it is born and when a reference to it goes. Whoever was told that bytes are here may rely on it
for the length of a push, whatever the delay: a HEAD, a mount and a link push a date forward that is nearer than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from metasvc.domain.model import ReviewKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from metasvc.domain.unit import UnitOfWork


class ReviewReason(StrEnum):
    """Why something was queued."""

    LINKED = "linked"
    MOUNTED = "mounted"
    UNLINKED = "unlinked"
    PUSHED = "pushed"
    UNTAGGED = "untagged"
    PARENT_DELETED = "parent_deleted"
    SUBJECT_DELETED = "subject_deleted"
    MANIFEST_DELETED = "manifest_deleted"
    REPOSITORY_DELETED = "repository_deleted"


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """How long the collector waits.

    Attributes:
        delay_seconds: from a birth, or the end of a reference, to the review.
        push_grace_seconds: how long a push may rely on what it was told; the delay does not shorten it.
    """

    delay_seconds: float
    push_grace_seconds: float

    def due_time(self, now: datetime) -> datetime:
        """When to look at what is queued now."""
        # Twice the grace, so that what is asked for all the time is written once in each grace, and not each time.
        return now + timedelta(seconds=max(self.delay_seconds, 2 * self.push_grace_seconds))

    def is_near(self, due_time: datetime | None, now: datetime) -> bool:
        """Tell whether a date is too near for a push that begins now."""
        return due_time is not None and due_time < now + timedelta(seconds=self.push_grace_seconds)


async def review_blobs(
    unit: UnitOfWork, digests: Iterable[str], policy: ReviewPolicy, now: datetime, reason: ReviewReason
) -> None:
    """Queue blobs."""
    await unit.reviews.queue(ReviewKind.BLOB, 0, digests, policy.due_time(now), reason.value)


async def review_manifests(
    unit: UnitOfWork,
    repository_id: int,
    digests: Iterable[str],
    policy: ReviewPolicy,
    now: datetime,
    reason: ReviewReason,
) -> None:
    """Queue manifests of one repository."""
    await unit.reviews.queue(ReviewKind.MANIFEST, repository_id, digests, policy.due_time(now), reason.value)
