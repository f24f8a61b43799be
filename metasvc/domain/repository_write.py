"""One write in one repository: what everything that changes tags and artifacts is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svckit.change import Change

if TYPE_CHECKING:
    from datetime import datetime

    from metasvc.domain.model import ChangeKind, Repository, TagMove
    from metasvc.domain.review import ReviewPolicy
    from metasvc.domain.unit import UnitOfWork
    from svckit.access.actor import ChangeOrigin


@dataclass(frozen=True, slots=True)
class RepositoryWrite:
    """One write in one repository.

    Attributes:
        unit: keeps others from deleting the repository.
        repository: the repository.
        origin: who caused the write.
        now: when.
        review_policy: when the collector looks at what the write leaves behind.
    """

    unit: UnitOfWork
    repository: Repository
    origin: ChangeOrigin
    now: datetime
    review_policy: ReviewPolicy

    def record(self, kind: ChangeKind, *, reference: str = "", digest: str = "", move: TagMove | None = None) -> None:
        """Adds a change of this repository to the change log.

        Args:
            kind: what happened.
            reference: the tag, for tags; the digest, for manifests; empty for the repository.
            digest: what the reference names, or named.
            move: the move of the tag, for tags.
        """
        self.unit.record(
            Change(
                kind=kind,
                origin=self.origin,
                time=self.now,
                project_id=self.repository.project_id,
                resource_id=self.repository.id,
                resource_name=self.repository.name,
                reference=reference,
                digest=digest,
            ),
            move,
        )
