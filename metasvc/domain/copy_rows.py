"""The rows that a copy of an artifact reads in its source and writes in its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from metasvc.domain.model import KeptArtifact, Repository, Tag


@dataclass(frozen=True, slots=True)
class CopiedArtifact:
    """An artifact that a copy has made. `manifest_size` is the size of its manifest alone."""

    artifact: KeptArtifact
    manifest_size: int


class CopyRows(Protocol):
    """The rows of copies. The number of statements grows with the depth of a graph only."""

    async def graph(self, repository_id: int, digest: str) -> Mapping[str, int]:
        """The ids of an artifact and of all that can be reached from it: children and accessories, by digest.

        It is empty if there is no such artifact.
        """

    async def lock_graph(self, repository_id: int, digest: str) -> Mapping[str, int]:
        """As `graph`, and keeps others from deleting these until this unit ends.

        An accessory that comes meanwhile may be missing. The children of each artifact in the answer are in it.
        """

    async def absent(self, artifact_ids: Iterable[int], repository_id: int) -> list[int]:
        """Those of the artifacts whose digest another repository does not hold."""

    async def is_accessory(self, artifact_id: int) -> bool:
        """Whether an artifact names a subject, which may be missing."""

    async def tags(self, artifact_ids: Sequence[int]) -> list[Tag]:
        """The tags of artifacts, by name. They are not locked."""

    async def add(self, artifact_ids: Sequence[int], target: Repository, now: datetime) -> list[CopiedArtifact]:
        """Copies the rows of artifacts with their bytes, children, blobs and reasons to be accessories.

        Tags and links of blobs are not copied. The target holds all children that are not among these.

        Raises:
            DomainError: UNAVAILABLE, somebody else wrote one of them at this moment. `Store.repeat` tries again.
        """

    async def link(self, repository_id: int, digests: Collection[str], now: datetime) -> list[str]:
        """Links blobs that are locked. Returns those for which the project has to be charged."""
