"""One write in one repository: the argument of all functions that change tags and artifacts."""

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
        unit: the unit of work, which has locked the repository against deletion.
        repository: the repository.
        origin: who caused the write.
        now: the time of the write.
        review_policy: when garbage collection looks at possible garbage.
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
            digest: the digest that the reference names, or named before a deletion.
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
