"""The types and store ports of lists, which are read page by page.

The ports in `domain/rows.py` read single rows and write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from metasvc.domain.immutable_rule_model import ImmutableRule
    from metasvc.domain.label_model import Label
    from metasvc.domain.model import Artifact, Project, Reference, Repository, Tag
    from svckit.access.actor import Actor
    from svckit.access.decision import AccessibleProjects
    from svckit.listing import Selection
    from svckit.oci.reference import Reference as OciReference
    from svckit.query import Clause

T = TypeVar("T")
K = TypeVar("K")

NEVER_PULLED = datetime(1970, 1, 1, tzinfo=UTC)
"""The pull time of an artifact that was never pulled, when a list is sorted by it. Keyset pages cannot contain NULL."""

ANY_TAG = "*"
"""Harbor's `tags=*`: artifacts with any tag. No tag can have this name."""

MOST_LISTED_ROWS = 10_000
"""The most tags, children or accessories for all artifacts of one page together. It limits memory and message size. If
there are more, each artifact has an equal share, so that none seems to have no tag or no signature. Lists of their own
show the rest, page by page."""

MOST_LISTED_CHARACTERS = 32 * 1024
"""A list leaves out annotations or attributes of an artifact that are longer than this, as JSON. GetArtifact shows
them."""

MOST_LISTED_CHILD_CHARACTERS = 1024
"""The same limit for the annotations, the URLs and the platform of a child of an index."""


MOST_LISTED_LABELS = 2_000
"""The same limit as `MOST_LISTED_ROWS` for labels, whose names and descriptions are longer."""

MOST_LISTED_INHERITED = 1_000
"""The same limit for inherited accessories."""

MOST_LISTED_LABEL_CHARACTERS = 128
"""A list of artifacts leaves out descriptions of labels that are longer than this."""


@dataclass(frozen=True, slots=True)
class ListedRepository:
    """A repository, with the number of artifacts that a list of them shows."""

    repository: Repository
    artifact_count: int


@dataclass(frozen=True, slots=True)
class Accessory:
    """An artifact that names another as its subject.

    Attributes:
        id: the id of the relation.
        artifact_id: the id of the accessory.
        subject_artifact_id: the id of the subject; 0 if the repository does not hold it.
        repository: the full name of the repository of both.
        size: bytes of the accessory and of all that it names.
        type: Harbor's type, such as "signature.cosign".
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
class Parts(Generic[K, T]):
    """The tags, children, accessories or labels of the artifacts of one page.

    Attributes:
        rows: by artifact. An artifact without any is left out.
        incomplete: the artifacts that have more than their share.
    """

    rows: Mapping[K, Sequence[T]]
    incomplete: AbstractSet[K] = frozenset()


@dataclass(frozen=True, slots=True)
class ArtifactView:
    """An artifact with its children, tags, accessories and labels. A part that was not requested is empty.

    Attributes:
        inherited_accessories: the signatures of the indexes that name the artifact.
        incomplete: the names of those of these parts that show only some, because the page has too many.
    """

    artifact: Artifact
    references: tuple[Reference, ...] = ()
    tags: tuple[Tag, ...] = ()
    accessories: tuple[Accessory, ...] = ()
    inherited_accessories: tuple[Accessory, ...] = ()
    labels: tuple[Label, ...] = ()
    incomplete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtifactParts:
    """What to read beside artifacts and their children. `immutability`: which of the tags are immutable."""

    tags: bool = True
    accessories: bool = False
    labels: bool = False
    inherited_accessories: bool = False
    immutability: bool = False


@dataclass(frozen=True, slots=True)
class PastMove:
    """One move of a tag. `digest` is '' for a deletion, `previous_digest` is '' for a new tag."""

    name: str
    revision: int
    digest: str
    previous_digest: str
    actor: Actor
    move_time: datetime


class RepositoryLists(Protocol):
    """Lists of repositories."""

    async def get(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository by its full name, if it belongs to that project."""

    async def page(self, projects: AbstractSet[int] | None, selection: Selection) -> list[Repository]:
        """Reads a page of the repositories of some projects, or of all if `projects` is None."""

    async def count(self, projects: AbstractSet[int] | None, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def artifact_counts(self, repository_ids: Sequence[int]) -> Mapping[int, int]:
        """Counts the artifacts that `ArtifactLists` shows of each repository. One query."""


class ArtifactLists(Protocol):
    """Lists of artifacts, without accessories of existing subjects, and without untagged children of an index."""

    async def get(self, project_id: int, repository: str, reference: OciReference) -> Artifact | None:
        """Reads any artifact of a repository, by tag or digest."""

    async def page(self, repository_id: int, selection: Selection) -> list[Artifact]:
        """Reads a page. Attributes and annotations that are too long for a list are empty."""

    async def count(self, repository_id: int, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def project_page(self, project_id: int, selection: Selection, *, latest: bool) -> list[Artifact]:
        """As `page`, of all repositories of a project.

        Args:
            project_id: the project.
            selection: the page.
            latest: of those that match, only the one of each repository that was pushed last.
        """

    async def project_count(self, project_id: int, clauses: Sequence[Clause], *, latest: bool) -> int:
        """Counts all that `project_page` shows."""

    async def children(self, parent_ids: Sequence[int], *, whole: bool) -> Parts[int, Reference]:
        """The children of indexes, by the id of the index and in its order. One query, or two for very many.

        Args:
            parent_ids: the ids of the indexes; other artifacts have no children.
            whole: whether to include annotations and URLs that are too long for a list.
        """

    async def accessories(self, artifacts: Sequence[Artifact]) -> Parts[tuple[int, str], Accessory]:
        """The accessories of artifacts, by the id of their repository and the digest of the subject.

        One query, or two for very many.
        """

    async def inherited_accessories(self, artifact_ids: Sequence[int]) -> Parts[int, Accessory]:
        """The signatures of the indexes that name artifacts, by the id of the artifact.

        One query, or two for very many.
        """

    async def accessory_page(self, repository_id: int, subject: str, selection: Selection) -> list[Accessory]:
        """Reads a page of the accessories of a digest, which itself may be missing."""

    async def accessory_count(self, repository_id: int, subject: str, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def has_accessory(self, repository_id: int, subject: str) -> bool:
        """Whether a digest has an accessory."""


class TagLists(Protocol):
    """Lists of tags."""

    async def on_artifacts(self, artifact_ids: Sequence[int]) -> Parts[int, Tag]:
        """The tags on artifacts, newest first, by the id of the artifact. One query, or two for very many."""

    async def page(self, artifact_id: int, selection: Selection) -> list[Tag]:
        """Reads a page of the tags on one artifact."""

    async def count(self, artifact_id: int, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def moves(self, repository_id: int, name: str, selection: Selection) -> list[PastMove]:
        """Reads a page of the moves of one tag."""

    async def move_count(self, repository_id: int, name: str, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""


class LabelLists(Protocol):
    """Lists of labels."""

    async def page(self, project_id: int, selection: Selection) -> list[Label]:
        """Reads a page of the labels of a project; of the global ones for `label.NO_PROJECT`."""

    async def count(self, project_id: int, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def on_artifacts(self, artifact_ids: Sequence[int], *, whole: bool) -> Parts[int, Label]:
        """The labels on artifacts by name, by the id of the artifact. One query, or two for very many.

        Args:
            artifact_ids: the artifacts.
            whole: whether to include descriptions that are too long for a list.
        """


class ImmutableRuleLists(Protocol):
    """Lists of the rules that make tags immutable."""

    async def of(self, project_id: int) -> Sequence[ImmutableRule]:
        """All rules of a project, by id. One query."""

    async def page(self, project_id: int, selection: Selection) -> list[ImmutableRule]:
        """Reads a page of them."""

    async def count(self, project_id: int, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""


class QuotaLists(Protocol):
    """Lists of quotas. Projects have a row once they are used, or once their quota was read or set."""

    async def page(self, project_id: int | None, selection: Selection) -> list[Project]:
        """Reads a page of all projects, or of one."""

    async def count(self, project_id: int | None, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""


class Lists(Protocol):
    """All lists, as they were at one moment. Made by `domain.unit.Store.lists`."""

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
    def labels(self) -> LabelLists:
        """Labels."""

    @property
    def immutable_rules(self) -> ImmutableRuleLists:
        """Rules that make tags immutable."""

    @property
    def quotas(self) -> QuotaLists:
        """Quotas."""

    async def stored_bytes(self) -> int:
        """The bytes of all blobs, each counted once. Reads the whole table of blobs."""


class VisibleProjects(Protocol):
    """The projects whose repositories a caller may list."""

    async def listable(self) -> AccessibleProjects:
        """The projects of the current caller. The answer is at most two seconds old.

        Raises:
            DomainError: UNAVAILABLE; authsvc cannot be asked.
        """

    async def public(self) -> AccessibleProjects:
        """As `listable`, for a caller without credentials."""

    async def project_count(self) -> int:
        """How many projects the current caller may see. Raises as `listable`."""
