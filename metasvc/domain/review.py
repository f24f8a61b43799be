"""When garbage collection looks at possible garbage. This release only writes the queue; a later one collects.

A digest is queued when it is stored, and when a reference to it is removed. A client that was told that a blob exists
may rely on it for the length of a push. So a HEAD, a mount and a link postpone a review that is nearer than that.
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
    """How long garbage collection waits before it looks at a digest.

    Attributes:
        delay_seconds: the time from storing a digest, or removing a reference to it, to its review.
        push_grace_seconds: how long a push may rely on a blob that it was told of. The delay does not shorten it.
    """

    delay_seconds: float
    push_grace_seconds: float

    def due_time(self, now: datetime) -> datetime:
        """The time of the review of a digest that is queued now."""
        # At least twice the grace. So a blob that is requested all the time is postponed once in each grace period, and
        # not by each request.
        return now + timedelta(seconds=max(self.delay_seconds, 2 * self.push_grace_seconds))

    def is_near(self, due_time: datetime | None, now: datetime) -> bool:
        """Whether a review could happen during a push that begins now."""
        return due_time is not None and due_time < now + timedelta(seconds=self.push_grace_seconds)


async def review_blobs(
    unit: UnitOfWork, digests: Iterable[str], policy: ReviewPolicy, now: datetime, reason: ReviewReason
) -> None:
    """Queues blobs."""
    await unit.reviews.queue(ReviewKind.BLOB, 0, digests, policy.due_time(now), reason.value)


async def review_manifests(
    unit: UnitOfWork,
    repository_id: int,
    digests: Iterable[str],
    policy: ReviewPolicy,
    now: datetime,
    reason: ReviewReason,
) -> None:
    """Queues manifests of one repository."""
    await unit.reviews.queue(ReviewKind.MANIFEST, repository_id, digests, policy.due_time(now), reason.value)
