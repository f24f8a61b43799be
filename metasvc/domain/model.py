"""Projects, repositories, artifacts, tags and blobs, as the store returns them.

Digests and names were checked when they were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from svckit.oci.reference import Reference as OciReference

NO_LIMIT = -1
"""The quota of a project without a limit."""

NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


def _nothing() -> Mapping[str, str]:
    return NO_ANNOTATIONS


class ProjectState(StrEnum):
    """What may be done in a project."""

    ACTIVE = "active"
    DELETING = "deleting"
    """The deletion has begun: no blob can be linked and no manifest pushed."""
    DELETED = "deleted"
    """The row stays, under another name. Without it, a push that asked authsvc earlier could make the project again."""


class BlobState(StrEnum):
    """Whether a blob can be served."""

    LIVE = "live"
    CONDEMNED = "condemned"
    """Garbage collection has decided to delete the bytes."""
    QUARANTINED = "quarantined"
    """The bytes do not match their digest."""


class ChangeKind(StrEnum):
    """The kinds of changes in metasvc's change log (`svckit.change`)."""

    TAG_PUT = "tag_put"
    """A tag was made or moved."""
    TAG_DELETE = "tag_delete"
    MANIFEST_PUT = "manifest_put"
    MANIFEST_DELETE = "manifest_delete"
    REPOSITORY_UPDATE = "repository_update"
    REPOSITORY_DELETE = "repository_delete"
    """All artifacts and tags in it were deleted too. They have no changes of their own."""
    QUOTA_UPDATE = "quota_update"
    IMMUTABLE_RULE_CREATE = "immutable_rule_create"
    """Like the next two, it has no name. The resource is the rule's id."""
    IMMUTABLE_RULE_UPDATE = "immutable_rule_update"
    IMMUTABLE_RULE_DELETE = "immutable_rule_delete"
    LABEL_CREATE = "label_create"
    LABEL_UPDATE = "label_update"
    LABEL_DELETE = "label_delete"
    """It was taken from all artifacts too. That has no changes of its own."""
    ARTIFACT_LABEL_ADD = "artifact_label_add"
    """The reference is the name of the label."""
    ARTIFACT_LABEL_REMOVE = "artifact_label_remove"
    PROJECT_DELETE = "project_delete"


class ReviewKind(StrEnum):
    """What garbage collection will look at."""

    BLOB = "blob"
    MANIFEST = "manifest"


class AccessorySource(StrEnum):
    """Why an artifact is an accessory of a subject."""

    SUBJECT = "subject"
    """Its manifest has a subject field."""
    SIGNATURE_TAG = "signature_tag"
    """It has the tag sha256-<hex of the subject>.sig, as those below have one."""
    ATTESTATION_TAG = "attestation_tag"
    SBOM_TAG = "sbom_tag"
    REFERRERS_TAG = "referrers_tag"
    """The tag of the referrers tag schema, on an index."""


@dataclass(frozen=True, slots=True)
class Project:
    """The quota and usage of a project. authsvc has its settings and members.

    Attributes:
        id: the id in authsvc.
        quota_bytes: the most bytes that it may store, or `NO_LIMIT`.
        used_bytes: the bytes that it stores; every digest counts once.
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
        """An update of the quota with this etag is refused if another came first. The usage does not change it."""
        return f"{self.id}-{self.quota_version}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository.

    Attributes:
        name: the full name, such as "library/nginx".
        version: grows with each update by a user. Pushes and pulls do not change it.
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
        """An update that names this etag is refused if another change came first. Ids are never used again."""
        return f"{self.id}-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArtifact:
    """An artifact that has no id yet. See `Artifact`."""

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
        media_type: the media type of the config, as in Harbor; for an index, that of the manifest.
        manifest_media_type: the Content-Type of its first push into this repository.
        artifact_type: the type that filters referrers; '' for an index that declares none.
        type: Harbor's type: IMAGE, CHART, …
        size: bytes of the manifest and of all that it names.
        manifest_size: bytes of the manifest alone.
        subject_digest: '' if it has no subject.
        config_digest: '' for an index.
        pull_time: the last pull; None for never.
    """

    id: int


@dataclass(frozen=True, slots=True)
class KeptArtifact:
    """An artifact that cannot be deleted until the unit of work ends. `media_type` is that of its manifest."""

    id: int
    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class TagSubject:
    """The subject that the name of a tag names, which makes the artifact of the tag an accessory.

    Attributes:
        digest: the subject, which may be missing.
        source: the form of the name.
        type: Harbor's type of such an accessory.
    """

    digest: str
    source: AccessorySource
    type: str


@dataclass(frozen=True, slots=True)
class WantedManifest:
    """A manifest that somebody asks for.

    Attributes:
        project_id: the project of the repository.
        repository: the full name of the repository.
        reference: a tag or digest.
        content: whether its bytes are wanted. Without them it is a HEAD.
        held_digest: a digest whose bytes are not wanted, because they are there already; empty for none.
    """

    project_id: int
    repository: str
    reference: OciReference
    content: bool
    held_digest: str = ""


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest, as clients pull it. The times are only read for a HEAD.

    Attributes:
        content: None for a HEAD, for bytes that are held already, and for more bytes than were asked for.
        asked_time: the last HEAD or PUT that was written; None for none.
        named_time: the last PUT of an index that names it; None if no index does.
        review_due_time: when garbage collection will look at it; None if it is not queued.
    """

    artifact_id: int
    repository_id: int
    digest: str
    media_type: str
    size: int
    content: bytes | None = field(repr=False)
    asked_time: datetime | None = None
    named_time: datetime | None = None
    review_due_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that points at an artifact; `digest` is the artifact's.

    Attributes:
        is_immutable: whether a rule forbids to move and to delete it. Only lists say so, if they are asked.
    """

    id: int
    repository_id: int
    artifact_id: int
    name: str
    digest: str
    push_time: datetime
    pull_time: datetime | None
    is_immutable: bool = False


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
    """A blob that a manifest needs, with the size that is stored."""

    digest: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class LinkedBlob:
    """A live blob that a repository links. `is_charged`: whether the project is charged for this link."""

    generation: int
    size: int
    is_charged: bool


@dataclass(frozen=True, slots=True)
class Referrer:
    """An artifact with a subject, as the referrers API shows it. Pages are sorted by `artifact_id`.

    Attributes:
        is_cut: whether it has no room on its page. Its annotations were not read.
    """

    artifact_id: int
    media_type: str
    digest: str
    size: int
    artifact_type: str
    annotations: Mapping[str, str] = field(hash=False)
    is_cut: bool = False


@dataclass(frozen=True, slots=True, order=True)
class BlobKey:
    """The name of one generation of a digest."""

    digest: str
    generation: int


@dataclass(frozen=True, slots=True)
class Blob:
    """The current generation of a digest, and its state."""

    digest: str
    generation: int
    size: int
    state: BlobState

    @property
    def key(self) -> BlobKey:
        """The name of this generation."""
        return BlobKey(self.digest, self.generation)


@dataclass(frozen=True, slots=True)
class WantedBlob:
    """A blob that somebody asks for, in the repository with this full name.

    Attributes:
        held_generation: the generation for which the caller needs no grant; 0 for none.
    """

    project_id: int
    repository: str
    digest: str
    held_generation: int = 0


@dataclass(frozen=True, slots=True)
class ServedBlob:
    """A blob that a repository serves.

    Attributes:
        media_type: its media type in a manifest of that repository; '' if no manifest names it.
        review_due_time: when garbage collection will look at it; None if it is not queued.
    """

    digest: str
    generation: int
    size: int
    media_type: str
    review_due_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """A digest and its size, which are added to the usage of a project."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class TagMove:
    """One move of a tag, written together with its entry in the change log.

    Attributes:
        digest: '' if the tag was deleted.
        previous_digest: '' if the tag was new.
    """

    repository_id: int
    name: str
    digest: str
    previous_digest: str


@dataclass(frozen=True, slots=True)
class ProjectUsage:
    """The usage of one project. `limit_bytes` is `NO_LIMIT` if it has no limit."""

    project_id: int
    repository_count: int
    used_bytes: int
    limit_bytes: int
