"""When garbage collection looks at possible garbage. This release only writes the queue; a later one collects.

A digest is queued when it is stored, and when a reference to it is removed. A client that was told that a blob or
manifest exists may rely on it for the length of a push. So a HEAD, a mount, a link and a repeated PUT postpone a review
that is nearer than that. For the same reason, the deletion of an index leaves a child that was asked for since the
index was put: another index may be about to name it. So a HEAD or PUT of such a child is noted with the artifact.
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

    from metasvc.domain.model import StoredManifest
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

    @property
    def asked_every(self) -> timedelta:
        """How often a HEAD of the same manifest is written, so that many HEADs cost few writes."""
        return timedelta(seconds=self.push_grace_seconds / 8)

    def asked_since(self, now: datetime) -> datetime:
        """After this time, a HEAD or PUT counts as part of a push that may be running."""
        # Later HEADs within `asked_every` were not written.
        return now - timedelta(seconds=self.push_grace_seconds) - self.asked_every

    def is_near(self, due_time: datetime | None, now: datetime) -> bool:
        """Whether a review could happen during a push that begins now."""
        return due_time is not None and due_time < now + timedelta(seconds=self.push_grace_seconds)


def must_note_head(found: StoredManifest, policy: ReviewPolicy, now: datetime) -> bool:
    """Whether a HEAD of a manifest has to be written before it is answered."""
    if policy.is_near(found.review_due_time, now):
        return True
    if found.named_time is None:
        # A deletion can take along only what an index names.
        return False
    asked = found.asked_time
    return asked is None or asked <= found.named_time or asked < now - policy.asked_every


async def note_head(unit: UnitOfWork, found: StoredManifest, policy: ReviewPolicy, now: datetime) -> None:
    """Writes that a manifest was asked for, and postpones its review."""
    await unit.artifacts.note_asked(found.artifact_id, now)
    await postpone_manifest(unit, found.repository_id, found.digest, policy, now)


async def postpone_blob(unit: UnitOfWork, digest: str, policy: ReviewPolicy, now: datetime) -> None:
    """Postpones the review of a blob."""
    due_time = policy.due_time(now)
    await unit.reviews.postpone(ReviewKind.BLOB, 0, digest, due_time, due_time)


async def postpone_manifest(
    unit: UnitOfWork, repository_id: int, digest: str, policy: ReviewPolicy, now: datetime
) -> None:
    """Postpones the review of a manifest, if it is near."""
    near = now + timedelta(seconds=policy.push_grace_seconds)
    await unit.reviews.postpone(ReviewKind.MANIFEST, repository_id, digest, near, policy.due_time(now))


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
