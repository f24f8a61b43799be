"""What people are shown in lists, and what the domain needs of a store for that: reading only, page by page.

The rows (`domain/rows.py`) are about one thing at a time, and about writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from metasvc.domain.model import Artifact, Project, Reference, Repository, Tag
    from svckit.access.actor import Actor
    from svckit.access.decision import AccessibleProjects
    from svckit.listing import Selection
    from svckit.oci.reference import Reference as OciReference
    from svckit.query import Clause

NEVER_PULLED = datetime(1970, 1, 1, tzinfo=UTC)
"""Where an artifact that was never pulled stands when they are sorted by that: a keyset cannot step over NULL."""

ANY_TAG = "*"
"""Harbor's `tags=*`: tagged, whatever the tag. No tag has that name."""

MOST_LISTED_ROWS = 10_000
"""Tags, children or accessories, of all the artifacts of one page together. A message has an end, and so has memory;
what is beyond it is read page by page from lists of its own."""

MOST_LISTED_CHARACTERS = 32 * 1024
"""Annotations or attributes of an artifact, as JSON, beyond which a list leaves them out. GetArtifact shows them."""

MOST_LISTED_CHILD_CHARACTERS = 1024
"""The same for the annotations and URLs of a child of an index."""


@dataclass(frozen=True, slots=True)
class ListedRepository:
    """A repository, with how many artifacts a list of them would show."""

    repository: Repository
    artifact_count: int


@dataclass(frozen=True, slots=True)
class Accessory:
    """An artifact that names another as its subject.

    Attributes:
        id: of the relation.
        artifact_id: of the accessory.
        subject_artifact_id: 0 where the subject is not here.
        repository: the full name of both.
        size: bytes of the accessory and of all that it names.
        type: Harbor's, such as "signature.cosign".
    """

    id: int
    artifact_id: int
    subject_artifact_id: int
    subject_digest: str
    repository: str
    size: int
    digest: str
    type: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """An artifact with what hangs on it; what was not asked for is empty."""

    artifact: Artifact
    references: tuple[Reference, ...] = ()
    tags: tuple[Tag, ...] = ()
    accessories: tuple[Accessory, ...] = ()


@dataclass(frozen=True, slots=True)
class PastMove:
    """One move of a tag; `digest` is '' where it was deleted, `previous_digest` where it was new."""

    name: str
    revision: int
    digest: str
    previous_digest: str
    actor: Actor
    move_time: datetime


class RepositoryLists(Protocol):
    """Repositories in lists."""

    async def get(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository by its full name, if it is that project's."""

    async def page(self, projects: AbstractSet[int] | None, selection: Selection) -> list[Repository]:
        """The repositories of some projects; of all, where `projects` is None."""

    async def count(self, projects: AbstractSet[int] | None, clauses: Sequence[Clause]) -> int:
        """How many there are."""

    async def artifact_counts(self, repository_ids: Sequence[int]) -> Mapping[int, int]:
        """How many artifacts `ArtifactLists` lists of each of them. One query."""


class ArtifactLists(Protocol):
    """Artifacts in lists, without accessories of what is here, and without untagged children of an index."""

    async def get(self, project_id: int, repository: str, reference: OciReference) -> Artifact | None:
        """Reads what a tag or digest names in a repository of that full name: any artifact."""

    async def page(self, repository_id: int, selection: Selection) -> list[Artifact]:
        """A repository's artifacts; attributes and annotations that are too long for a list are empty."""

    async def count(self, repository_id: int, clauses: Sequence[Clause]) -> int:
        """How many there are."""

    async def children(self, parent_ids: Sequence[int], *, whole: bool) -> Mapping[int, Sequence[Reference]]:
        """The children of indexes by the index's id, in its order. One query.

        Args:
            parent_ids: of the indexes; other artifacts have no children.
            whole: whether annotations and URLs are wanted that are too long for a list.
        """

    async def accessories(self, artifacts: Sequence[Artifact]) -> Mapping[str, Sequence[Accessory]]:
        """What names artifacts of one repository as its subject, by the subject's digest. One query."""

    async def accessory_page(self, repository_id: int, subject: str, selection: Selection) -> list[Accessory]:
        """What names a digest as its subject, whether the subject is here or not."""

    async def accessory_count(self, repository_id: int, subject: str, clauses: Sequence[Clause]) -> int:
        """How many there are."""

    async def has_accessory(self, repository_id: int, subject: str) -> bool:
        """Whether there is any."""


class TagLists(Protocol):
    """Tags in lists."""

    async def on_artifacts(self, artifact_ids: Sequence[int]) -> Mapping[int, Sequence[Tag]]:
        """The tags on artifacts, newest first, by the artifact's id. One query."""

    async def page(self, artifact_id: int, selection: Selection) -> list[Tag]:
        """The tags on one artifact."""

    async def count(self, artifact_id: int, clauses: Sequence[Clause]) -> int:
        """How many there are."""

    async def moves(self, repository_id: int, name: str, selection: Selection) -> list[PastMove]:
        """The moves of one tag."""

    async def move_count(self, repository_id: int, name: str, clauses: Sequence[Clause]) -> int:
        """How many there are."""


class QuotaLists(Protocol):
    """Quotas in lists: the rows of projects that were used, or whose quota was read or set."""

    async def page(self, project_id: int | None, selection: Selection) -> list[Project]:
        """The projects; or one of them."""

    async def count(self, project_id: int | None, clauses: Sequence[Clause]) -> int:
        """How many there are."""


class Lists(Protocol):
    """All of them, as they were at one moment. Given out by `domain.unit.Store.lists`."""

    @property
    def repositories(self) -> RepositoryLists:
        """Repositories."""

    @property
    def artifacts(self) -> ArtifactLists:
        """Artifacts and accessories."""

    @property
    def tags(self) -> TagLists:
        """Tags and their moves."""

    @property
    def quotas(self) -> QuotaLists:
        """Quotas."""


class VisibleProjects(Protocol):
    """The projects of which a caller may see the repositories."""

    async def listable(self) -> AccessibleProjects:
        """Those of the caller that is being served, as they were at most two seconds ago.

        Raises:
            DomainError: UNAVAILABLE; it cannot be found out.
        """
