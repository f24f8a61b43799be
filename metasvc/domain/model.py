"""What is stored, as the stores hand it out. Digests and names have been checked before they came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NO_LIMIT = -1
"""The quota of a project without one."""


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


class ProjectState(StrEnum):
    """What may be done in a project."""

    ACTIVE = "active"
    DELETING = "deleting"
    """Fenced: nothing more is linked or put."""
    DELETED = "deleted"
    """Gone. The row stays as a mark, without its name: a push that asked authsvc before must not make it anew."""


class BlobState(StrEnum):
    """Whether bytes may be relied on."""

    LIVE = "live"
    CONDEMNED = "condemned"
    """The collector has decided, and the bytes go."""
    QUARANTINED = "quarantined"
    """The bytes are not what their digest says."""


class ChangeKind(StrEnum):
    """What the change log of metasvc tells (`svckit.change`)."""

    TAG_PUT = "tag_put"
    """A tag was made or moved."""
    TAG_DELETE = "tag_delete"
    MANIFEST_PUT = "manifest_put"
    MANIFEST_DELETE = "manifest_delete"
    REPOSITORY_UPDATE = "repository_update"
    REPOSITORY_DELETE = "repository_delete"
    """All in it is gone with it, without changes of its own."""
    QUOTA_UPDATE = "quota_update"
    PROJECT_DELETE = "project_delete"


class ReviewKind(StrEnum):
    """What the collector is to look at."""

    BLOB = "blob"
    MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Project:
    """What a project may store and does. Its name, settings and members are authsvc's.

    Attributes:
        id: authsvc's.
        quota_bytes: `NO_LIMIT`, or the most that may be charged.
        used_bytes: charged; every digest counts once.
        quota_version: grows each time the quota is set.
    """

    id: int
    name: str
    state: ProjectState
    quota_bytes: int
    used_bytes: int
    create_time: datetime
    update_time: datetime
    quota_version: int = 0

    @property
    def etag(self) -> str:
        """What an update of the quota must name to be sure that no other came between. The usage is no part of it."""
        return f"{self.id}-{self.quota_version}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A name under which artifacts are kept.

    Attributes:
        name: in full, such as "library/nginx".
        version: grows with each update of what people set. Pushes and pulls leave it as it is.
    """

    id: int
    project_id: int
    name: str
    description: str
    pull_count: int
    create_time: datetime
    update_time: datetime
    version: int = 0

    @property
    def etag(self) -> str:
        """What an update must name to be sure that no other came between. Ids are never given again."""
        return f"{self.id}-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArtifact:
    """An artifact before the database has numbered it. See `Artifact`."""

    project_id: int
    repository_id: int
    repository_name: str
    digest: str
    media_type: str
    manifest_media_type: str
    artifact_type: str
    type: str
    size: int
    manifest_size: int
    subject_digest: str
    config_digest: str
    push_time: datetime
    pull_time: datetime | None = None
    extra_attrs: Mapping[str, object] = field(default_factory=_nothing, hash=False)
    annotations: Mapping[str, str] = field(default_factory=_nothing, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(NewArtifact):
    """A manifest or index that a repository holds, without its bytes.

    Attributes:
        media_type: of the config, as in Harbor; the manifest's own for an index.
        manifest_media_type: the Content-Type of its first push into this repository.
        artifact_type: what referrers are filtered by; '' for an index that declares none.
        type: Harbor's: IMAGE, CHART, …
        size: bytes of the manifest and of all that it names.
        manifest_size: bytes of the manifest alone.
        subject_digest: '' where it has no subject.
        config_digest: '' for an index.
        pull_time: None for never.
    """

    id: int


@dataclass(frozen=True, slots=True)
class KeptArtifact:
    """An artifact that stays for as long as the unit of work lasts."""

    id: int
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it is pulled; `content` is None where only the head was asked for."""

    artifact_id: int
    repository_id: int
    digest: str
    media_type: str
    size: int
    content: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that points at an artifact; `digest` is the artifact's."""

    id: int
    repository_id: int
    artifact_id: int
    name: str
    digest: str
    push_time: datetime
    pull_time: datetime | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A child of an index; `platform` holds architecture, os, os_version, os_features, variant, or is None."""

    child_id: int
    child_digest: str
    platform: Mapping[str, object] | None = field(hash=False)
    annotations: Mapping[str, str] = field(hash=False)
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeededBlob:
    """A blob that a manifest needs; the size is its descriptor's word."""

    digest: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Referrer:
    """What refers to a subject, as the referrers API shows it; `artifact_id` is where a page may end."""

    artifact_id: int
    media_type: str
    digest: str
    size: int
    artifact_type: str
    annotations: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Blob:
    """The copy of a digest that lives, or lived."""

    digest: str
    generation: int
    size: int
    state: BlobState


@dataclass(frozen=True, slots=True)
class ServedBlob:
    """A blob that a repository serves.

    Attributes:
        media_type: what a manifest of that repository calls it; '' where none names it.
        review_due_time: when the collector is to look at it; None where it is not queued.
    """

    digest: str
    generation: int
    size: int
    media_type: str
    review_due_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Bytes that a project is charged for, or no longer charged for, by digest."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class TagMove:
    """One move of a tag, to be written with the change that it is.

    Attributes:
        digest: '' where the tag was deleted.
        previous_digest: '' where it was new.
    """

    repository_id: int
    name: str
    digest: str
    previous_digest: str


@dataclass(frozen=True, slots=True)
class ProjectUsage:
    """What one project stores; `limit_bytes` is `NO_LIMIT` for none."""

    project_id: int
    repository_count: int
    used_bytes: int
    limit_bytes: int
