"""The rows that a unit of work (`domain/unit.py`) reads and writes. Each noun has a port of its own.

On PostgreSQL, `lock…` methods take row locks, in the order of `store/tables.py`. On SQLite only one unit writes at a
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from metasvc.domain.artifact_graph import ArtifactGraph
    from metasvc.domain.label_model import Label, NewLabel
    from metasvc.domain.model import (
        Artifact,
        Blob,
        BlobKey,
        Charge,
        KeptArtifact,
        LinkedBlob,
        NeededBlob,
        NewArtifact,
        Project,
        ProjectState,
        ProjectUsage,
        Reference,
        Referrer,
        Repository,
        ReviewKind,
        ServedBlob,
        StoredManifest,
        WantedBlob,
        WantedManifest,
    )
    from svckit.listing import Selection


class ProjectRows(Protocol):
    """The rows of projects."""

    async def get(self, project_id: int) -> Project | None:
        """Reads a project."""

    async def add(self, project: Project) -> None:
        """Makes the row if there is none of that id. Another project of that name is marked as deleted."""

    async def lock_open(self, project_id: int) -> Project | None:
        """Reads a project and keeps others from fencing it until this unit ends."""

    async def lock_closed(self, project_id: int) -> Project | None:
        """Reads a project once no other unit holds `lock_open`. No other unit can lock it until this one ends."""

    async def lock_named(self, name: str) -> Project | None:
        """As `lock_closed`, for the project of that name."""

    async def fence(self, project_id: int, now: datetime) -> None:
        """Marks a project as being deleted: no blob can be linked and no manifest pushed."""

    async def states(self) -> dict[int, ProjectState]:
        """The states of all projects that have a row, by id."""

    async def fenced(self, before: datetime) -> list[int]:
        """Lists the projects that were fenced before a time and are not deleted yet."""

    async def mark_deleted(self, project_id: int, now: datetime) -> None:
        """Marks an empty project as deleted and removes its name, so that a new project can use it."""

    async def has_repository(self, project_id: int) -> bool:
        """Whether the project has a repository."""

    async def usages(self, project_ids: Sequence[int]) -> list[ProjectUsage]:
        """The usage of these projects. Projects without a row are left out."""

    async def charge(self, project_id: int, charges: Iterable[Charge], now: datetime) -> None:
        """Counts one more use of each digest, and adds the sizes of digests that are new to the project to its usage.

        Raises:
            DomainError: QUOTA_EXCEEDED, with limit, usage and needed size, all in bytes.
        """

    async def discharge(self, project_id: int, digests: Iterable[str], now: datetime) -> None:
        """Counts one use less for each digest given. Digests without uses no longer count for the usage."""

    async def discharge_repository(self, project_id: int, repository_id: int, now: datetime) -> None:
        """As `discharge`, for all manifests and links of a repository."""

    async def set_quota(self, held: Project, quota_bytes: int, now: datetime) -> None:
        """Sets the limit, or `NO_LIMIT`. It may be below the usage.

        Raises:
            DomainError: UNAVAILABLE, somebody else has set it since the project was read. `Store.repeat` tries again.
        """


class RepositoryRows(Protocol):
    """The rows of repositories."""

    async def get(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository by its full name, if it belongs to that project."""

    async def lock_open(self, project_id: int, name: str) -> Repository | None:
        """Reads a repository and keeps others from deleting it until this unit ends."""

    async def ensure(self, project_id: int, name: str, now: datetime) -> Repository:
        """As `lock_open`, but creates the repository if there is none.

        Raises:
            DomainError: CONFLICT; a repository of another project has the name.
        """

    async def lock_for_delete(self, project_id: int, name: str) -> Repository | None:
        """Locks a repository and everything in it, to delete it. Waits until no other unit holds `lock_open`."""

    async def remove(self, repository_id: int) -> None:
        """Deletes a repository with everything in it, and the reviews of its manifests."""

    async def describe(self, held: Repository, description: str, now: datetime) -> None:
        """Sets its description.

        Raises:
            DomainError: UNAVAILABLE, somebody else has set it since it was read. `Store.repeat` tries again.
        """

    async def touch(self, repository_id: int, now: datetime) -> None:
        """Sets the time of the last push."""

    async def count_pulls(self, pulls: Mapping[int, int]) -> None:
        """Adds to the pull counts of repositories, by id."""

    async def catalog(self, start_after: str, limit: int) -> list[str]:
        """The full names that sort after `start_after`, sorted by their bytes."""


class ArtifactRows(Protocol):
    """The rows of artifacts, with their bytes, references and accessories."""

    async def find_manifests(
        self, wanted: Sequence[WantedManifest], *, content_bytes: int | None = None
    ) -> list[StoredManifest | None]:
        """Finds manifests by tags or digests, each at the position of what was asked for. One query.

        Args:
            wanted: what is asked for.
            content_bytes: larger manifests come without their bytes; None for no limit.
        """

    async def get(self, repository_id: int, digest: str) -> Artifact | None:
        """Reads an artifact by its digest."""

    async def lock_kept(self, repository_id: int, digests: Iterable[str]) -> dict[str, KeptArtifact]:
        """Finds artifacts and keeps others from deleting them until this unit ends. Missing ones are left out."""

    async def add(
        self,
        artifact: NewArtifact,
        content: bytes,
        *,
        references: Sequence[Reference],
        blobs: Sequence[NeededBlob],
        accessory_type: str,
    ) -> Artifact:
        """Writes an artifact, its bytes, its children and its blobs. `accessory_type` is used if it has a subject.

        Raises:
            DomainError: UNAVAILABLE, somebody else wrote the same digest at this moment. `Store.repeat` tries again.
        """

    async def hold_blobs(self, artifact_id: int, repository_id: int, blobs: Sequence[NeededBlob]) -> None:
        """Writes that an artifact needs these blobs as well. Those that it has are left as they are."""

    async def lock_graph(self, repository_id: int, digest: str) -> ArtifactGraph | None:
        """Locks an artifact, and everything that may have to go with it, to delete them.

        Waits until no other unit holds `lock_kept` on any of them.
        """

    async def remove(self, artifact_ids: Sequence[int]) -> None:
        """Deletes artifacts with their bytes, references, tags and accessory rows."""

    async def note_repeat(self, artifact_id: int, now: datetime) -> None:
        """Writes that an artifact was put again."""

    async def note_asked(self, artifact_id: int, now: datetime) -> None:
        """Writes that somebody asked for an artifact."""

    async def blob_digests(self, artifact_ids: Sequence[int]) -> list[str]:
        """The blobs that they need, each once, sorted."""

    async def referrers(
        self,
        project_id: int,
        repository: str,
        subject: str,
        artifact_type: str,
        selection: Selection,
        *,
        room_bytes: int,
    ) -> list[Referrer]:
        """Reads a page of the referrers of a subject; `artifact_type` '' means all. One query.

        All but the first are cut that do not fit into `room_bytes` together with those before them.
        """

    async def referrer_count(self, project_id: int, repository: str, subject: str, artifact_type: str) -> int:
        """Counts all that match."""

    async def touch_pulled(self, pulls: Mapping[int, datetime]) -> None:
        """Sets the times of the last pulls of artifacts, by id."""


class LabelRows(Protocol):
    """The rows of labels, and the artifacts that they are on."""

    async def get(self, label_id: int) -> Label | None:
        """Reads a label."""

    async def lock_kept(self, label_id: int) -> Label | None:
        """Reads a label and keeps others from deleting it until this unit ends."""

    async def lock(self, label_id: int) -> Label | None:
        """Reads a label to change or delete it. Waits until no other unit holds it."""

    async def add(self, new: NewLabel, now: datetime) -> Label | None:
        """Makes a label; None if its name is in use in its project, or among the global labels."""

    async def update(self, held: Label, changed: NewLabel, now: datetime) -> Label | None:
        """Changes a locked label; None if its new name is in use."""

    async def remove(self, label_id: int) -> None:
        """Deletes a label, and takes it from all artifacts."""

    async def remove_of(self, project_id: int) -> None:
        """Deletes all labels of a project."""

    async def put_on(self, artifact_id: int, label_id: int, now: datetime) -> bool:
        """Puts a label on an artifact that are both locked; False if it is there already."""

    async def take_from(self, artifact_id: int, label_id: int) -> bool:
        """Takes a label from an artifact; False if it is not on it."""


class BlobRows(Protocol):
    """The rows of blobs and their links."""

    async def find_served(self, wanted: Sequence[WantedBlob]) -> list[ServedBlob | None]:
        """Finds live blobs that repositories serve, each at the position of what was asked for. One query."""

    async def served_by_any(self, repositories: Sequence[tuple[int, str]], digest: str) -> Blob | None:
        """Finds a live blob that one of these repositories, given as project id and full name, serves."""

    async def store_id(self, first: str) -> str:
        """Reads the id of the store that holds the blobs. If none is known yet, `first` is stored as it."""

    async def forget_store(self) -> str | None:
        """Deletes the id of the store that holds the blobs, and returns it; None if none was known."""

    async def lock_digest(self, digest: str) -> None:
        """Keeps other units that call this from deciding about a digest until this unit ends.

        `lock_any` cannot do so if the digest has no row.
        """

    async def lock_linked(self, repository_id: int, digests: Iterable[str]) -> dict[str, LinkedBlob]:
        """Finds those of the digests that a repository links and that are live.

        Keeps others from condemning, unlinking and discharging them until this unit ends.
        """

    async def lock_live(self, digest: str) -> Blob | None:
        """Reads a blob, if it is live, and keeps others from condemning it until this unit ends."""

    async def lock_any(self, digest: str) -> Blob | None:
        """Reads a blob in any state, and keeps others from changing it until this unit ends."""

    async def add(self, blob: Blob, now: datetime) -> None:
        """Makes the row of a digest. The caller has locked the digest, and it has no row."""

    async def adopt(self, blob: Blob, now: datetime) -> None:
        """Gives the row that `lock_any` found another generation, and makes it live."""

    async def quarantine(self, digest: str, now: datetime) -> None:
        """Quarantines the blob that `lock_any` found."""

    async def link(self, repository_id: int, digest: str, now: datetime) -> bool:
        """Links a blob; False if it was linked and charged already. Otherwise the project has to be charged."""

    async def unlink(self, repository_id: int, digest: str) -> bool | None:
        """Removes a link. Returns whether it was charged; None if there was no link."""

    async def charge_links(self, repository_id: int, digests: Iterable[str]) -> list[str]:
        """Marks links as charged. Returns those that were not."""

    async def discharge_unnamed(self, repository_id: int, digests: Sequence[str]) -> list[str]:
        """Marks those links as not charged that no manifest of the repository names. Returns those that were charged.

        A concurrent push that names such a blob ends before it, or waits and charges the link again.
        """

    async def is_named(self, repository_id: int, digest: str) -> bool:
        """Whether a manifest of the repository names a blob."""


class TombstoneRows(Protocol):
    """The tombstones of generations (`domain.tombstone`)."""

    async def add(self, key: BlobKey, reason: str, due_time: datetime, now: datetime) -> None:
        """Makes a tombstone, whose generation is deleted at `due_time`. An existing one does not change."""

    async def has(self, key: BlobKey) -> bool:
        """Whether a generation has a tombstone."""

    async def any_to_do(self, now: datetime, old: datetime) -> bool:
        """Whether a tombstone is due, or whether one was made before `old` and its generation is deleted."""

    async def claim(self, now: datetime, retry_time: datetime, most: int) -> list[BlobKey]:
        """Takes tombstones that are due. Other processes leave them alone until `retry_time`."""

    async def mark_deleted(self, keys: Iterable[BlobKey], now: datetime) -> None:
        """Notes that the bytes of these generations are deleted."""

    async def forget(self, created_before: datetime, most: int) -> None:
        """Removes old tombstones whose generations are deleted."""


class ReviewRows(Protocol):
    """The queue of garbage collection."""

    async def queue(
        self, kind: ReviewKind, repository_id: int, digests: Iterable[str], due_time: datetime, reason: str
    ) -> None:
        """Queues digests, or postpones those that are queued. `repository_id` is 0 for blobs."""

    async def queue_blobs_of(self, repository_id: int, due_time: datetime, reason: str) -> None:
        """As `queue`, for every blob that a repository links or needs."""

    async def postpone(
        self, kind: ReviewKind, repository_id: int, digest: str, due_before: datetime, due_time: datetime
    ) -> None:
        """Postpones a review to `due_time`, if it is due before `due_before`. `repository_id` is 0 for blobs."""

    async def remove_manifests(self, repository_id: int, digests: Sequence[str]) -> None:
        """Removes the reviews of manifests that were deleted."""
