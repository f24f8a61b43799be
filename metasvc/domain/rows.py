"""The rows of a store, one role for each noun: what a unit of work (`domain/unit.py`) reads and writes.

Methods that are called `lock…` take row locks on PostgreSQL, in the order that `store/tables.py` gives; on SQLite a
writing unit is alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from metasvc.domain.model import (
        Artifact,
        Blob,
        Charge,
        KeptArtifact,
        NeededBlob,
        NewArtifact,
        Project,
        ProjectUsage,
        Reference,
        Referrer,
        Repository,
        ReviewKind,
        ServedBlob,
        StoredManifest,
        Tag,
    )
    from svckit.listing import Selection


class ProjectRows(Protocol):
    """The rows of projects."""

    async def get(self, project_id: int) -> Project | None:
        """Reads a project."""

    async def add(self, project: Project) -> None:
        """Makes the row if there is none of that id. Another one of that name gives it up, and is dead."""

    async def lock_open(self, project_id: int) -> Project | None:
        """Reads a project and keeps others from fencing it until this unit ends."""

    async def lock_closed(self, project_id: int) -> Project | None:
        """Reads a project once nobody holds it open, and keeps everybody from opening it until this unit ends."""

    async def lock_named(self, name: str) -> Project | None:
        """As `lock_closed`, of whichever project has a name here."""

    async def fence(self, project_id: int, now: datetime) -> None:
        """Marks a project as being deleted: nothing more is linked or put."""

    async def fenced(self, before: datetime) -> list[int]:
        """Lists the projects that were fenced before a time, and are not deleted yet."""

    async def mark_deleted(self, project_id: int, now: datetime) -> None:
        """Marks a project that holds nothing as deleted; it gives its name up."""

    async def has_repository(self, project_id: int) -> bool:
        """Tells whether it holds a repository."""

    async def usages(self, project_ids: Sequence[int]) -> list[ProjectUsage]:
        """Counts what these projects store; those without a row are left out."""

    async def charge(self, project_id: int, charges: Iterable[Charge], now: datetime) -> None:
        """Counts one more use of each of these digests, and charges the project for those that are new to it.

        Raises:
            DomainError: QUOTA_EXCEEDED, naming limit, usage and what was needed, all of them in bytes.
        """

    async def discharge(self, project_id: int, digests: Iterable[str], now: datetime) -> None:
        """Counts one use less for each time that a digest is given; what has none left is no longer charged for."""

    async def discharge_repository(self, project_id: int, repository_id: int, now: datetime) -> None:
        """As `discharge`, of every manifest and link that a repository has."""

    async def set_quota(self, held: Project, quota_bytes: int, now: datetime) -> None:
        """Sets the most that may be charged, or `NO_LIMIT`; it may lie below what is charged.

        Raises:
            DomainError: UNAVAILABLE (to be done again); somebody has set it since the project was read.
        """


class RepositoryRows(Protocol):
    """The rows of repositories."""

    async def get(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository by its full name, if it is that project's."""

    async def lock_open(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository and keeps others from deleting it until this unit ends."""

    async def ensure(self, project_id: int, name: str, now: datetime) -> Repository:
        """As `lock_open`, making the repository where there is none.

        Raises:
            DomainError: CONFLICT; another project's repository has the name.
        """

    async def lock_for_delete(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository for deleting it, waiting for everybody who holds it open; all in it is ours then."""

    async def remove(self, repository_id: int) -> None:
        """Deletes a repository with all that it holds, and the reviews of its manifests."""

    async def describe(self, held: Repository, description: str, now: datetime) -> None:
        """Sets its description.

        Raises:
            DomainError: UNAVAILABLE (to be done again); somebody has set it since the repository was read.
        """

    async def touch(self, repository_id: int, now: datetime) -> None:
        """Sets when it was last pushed to."""

    async def count_pulls(self, pulls: Mapping[int, int]) -> None:
        """Adds to the pull counts of repositories, by id."""

    async def catalog(self, start_after: str, limit: int) -> list[str]:
        """The full names after one, sorted by their bytes."""


class ArtifactRows(Protocol):
    """The rows of artifacts, and what hangs on them."""

    async def manifest_by_tag(
        self, project_id: int, repository: str, tag: str, *, content: bool
    ) -> StoredManifest | None:
        """Finds what a tag names. One query."""

    async def manifest_by_digest(
        self, project_id: int, repository: str, digest: str, *, content: bool
    ) -> StoredManifest | None:
        """Finds a manifest by its digest. One query."""

    async def get(self, repository_id: int, digest: str) -> Artifact | None:
        """Reads an artifact by its digest."""

    async def lock_kept(self, repository_id: int, digests: Iterable[str]) -> dict[str, KeptArtifact]:
        """Finds artifacts and keeps others from deleting them until this unit ends. What is missing is left out."""

    async def lock_for_delete(self, repository_id: int, digest: str) -> Artifact | None:
        """Reads an artifact for deleting it, waiting for everybody who keeps it."""

    async def add(
        self,
        artifact: NewArtifact,
        content: bytes,
        *,
        references: Sequence[Reference],
        blobs: Sequence[NeededBlob],
        accessory_type: str,
    ) -> Artifact:
        """Writes an artifact, its bytes, and what it names. `accessory_type` counts where it has a subject.

        Raises:
            DomainError: UNAVAILABLE (to be done again); somebody wrote the same digest at this moment.
        """

    async def remove(self, artifact_id: int) -> None:
        """Deletes an artifact, its bytes, its references, its tags, and its place among its subject's referrers."""

    async def has_parent(self, artifact_id: int) -> bool:
        """Tells whether an index names it as a child."""

    async def children(self, artifact_id: int) -> list[Reference]:
        """The children of an index, in its order."""

    async def blob_digests(self, artifact_id: int) -> list[str]:
        """The blobs that it needs."""

    async def referrers(
        self, project_id: int, repository: str, subject: str, artifact_type: str, selection: Selection
    ) -> list[Referrer]:
        """What refers to a subject; `artifact_type` '' means all. One query."""

    async def referrer_count(self, project_id: int, repository: str, subject: str, artifact_type: str) -> int:
        """How many there are."""

    async def referrer_digests(self, repository_id: int, subject: str) -> list[str]:
        """The digests of what refers to a subject."""

    async def touch_pulled(self, pulls: Mapping[int, datetime]) -> None:
        """Sets when artifacts were last pulled, by id."""


class TagRows(Protocol):
    """The rows of tags."""

    async def names(self, project_id: int, repository: str, start_after: str, limit: int | None) -> list[str]:
        """The names after one, sorted by their bytes; `limit` None means all."""

    async def lock(self, repository_id: int, names: Iterable[str]) -> dict[str, Tag]:
        """Reads tags and keeps others from moving them until this unit ends."""

    async def get(self, repository_id: int, tag_id: int) -> Tag | None:
        """Reads a tag of a repository by its id."""

    async def on_artifact(self, artifact_id: int) -> list[Tag]:
        """The tags of an artifact, by name, locked as `lock` does."""

    async def put(self, repository_id: int, name: str, artifact_id: int, now: datetime, *, held: Tag | None) -> None:
        """Moves a tag that `lock` found, or makes one that it did not find (`held` None).

        Raises:
            DomainError: UNAVAILABLE (to be done again); somebody made the tag at this moment.
        """

    async def remove(self, tag_ids: Iterable[int]) -> None:
        """Deletes tags."""

    async def touch_pulled(self, repository_id: int, pulls: Mapping[str, datetime]) -> None:
        """Sets when tags were last pulled, by name."""


class BlobRows(Protocol):
    """The rows of blobs and their links."""

    async def served(self, project_id: int, repository: str, digest: str) -> ServedBlob | None:
        """Finds a blob that a repository serves, live. One query."""

    async def served_by_any(self, repositories: Sequence[tuple[int, str]], digest: str) -> bool:
        """Tells whether one of these repositories, given as project id and full name, serves a blob, live."""

    async def lock_linked(self, repository_id: int, digests: Iterable[str]) -> dict[str, int]:
        """Finds the live ones of the blobs that a repository links, with their sizes.

        Keeps others from condemning them until this unit ends.
        """

    async def lock_live(self, digest: str) -> Blob | None:
        """Reads a blob, if it is live, and keeps others from condemning it until this unit ends."""

    async def lock_any(self, digest: str) -> Blob | None:
        """Reads a blob whatever its state, and keeps everybody from changing it until this unit ends."""

    async def add(self, blob: Blob, now: datetime) -> bool:
        """Makes a row; False where somebody else has made one."""

    async def adopt(self, blob: Blob, now: datetime) -> None:
        """Gives a row that `lock_any` found another generation, and life."""

    async def add_surplus(self, digest: str, generation: int, now: datetime) -> None:
        """Queues a generation for deletion; once, however often it is asked for."""

    async def remove_surplus(self, digest: str, generation: int) -> None:
        """Takes a generation off that queue."""

    async def link(self, repository_id: int, digest: str, now: datetime) -> bool:
        """Links a blob; False where it was linked already."""

    async def unlink(self, repository_id: int, digest: str) -> bool:
        """Ends a link; False where there was none."""


class ReviewRows(Protocol):
    """The collector's queue."""

    async def queue(
        self, kind: ReviewKind, repository_id: int, digests: Iterable[str], due_time: datetime, reason: str
    ) -> None:
        """Queues digests, or pushes their date forward. `repository_id` is 0 for blobs."""

    async def queue_blobs_of(self, repository_id: int, due_time: datetime, reason: str) -> None:
        """As `queue`, of every blob that a repository links or needs."""

    async def postpone(self, digest: str, due_before: datetime, due_time: datetime) -> None:
        """Pushes a blob's date forward where it is due before a moment."""
