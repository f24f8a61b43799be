"""The tables of metasvc.

`store/migrations` creates them; a test compares the two. On PostgreSQL they are in a schema of their own.

Every write locks rows in the same order, so that writes cannot deadlock: project, idempotency, repository, artifacts
(by id), tags (by name), labels, blobs and their links (by digest), reviews, the update time of the repository,
project_blob (by digest), the project's usage or its immutable rules, the change log. The rows of project and repository
are first locked FOR KEY SHARE. A change of usage, rules, time or description does not wait for this lock, but a fence
or a delete (FOR UPDATE) does.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)

from metasvc.domain.model import ChangeKind
from svckit.sql.actor import actor_columns
from svckit.sql.change_cursor import CursorTable
from svckit.sql.change_log import ChangeLog
from svckit.sql.followed_log import FollowedLogTable
from svckit.sql.idempotency import idempotency_table
from svckit.sql.names import NAMING_CONVENTION
from svckit.sql.types import BigIntKey, ByteOrdered, Json, UtcDateTime

metadata = MetaData(naming_convention=NAMING_CONVENTION)

Word = String(32)
"""One of a few values that the domain checks."""

project = Table(
    "project",
    metadata,
    # The id in authsvc, which is never used for another project.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", ByteOrdered, nullable=False, unique=True),
    # active; deleting: no blob can be linked and no manifest pushed; deleted: the row stays under another name.
    Column("state", Word, nullable=False),
    # -1: no limit.
    Column("quota_bytes", BigInteger, nullable=False),
    # Every digest counts once, by its row in project_blob.
    Column("used_bytes", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Grows each time the quota is set. Etags are made from it.
    Column("quota_version", BigInteger, nullable=False, server_default="0"),
    # How many immutable rules it has. Pushes read it in this row, and need no further statement if there are none.
    Column("immutable_rules", BigInteger, nullable=False, server_default="0"),
    # Grows with each change of these rules. Units that rely on them compare it when they commit.
    Column("immutability_version", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("used_bytes >= 0", name="used_bytes"),
)

repository = Table(
    "repository",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    # The full name, such as "library/nginx".
    Column("name", ByteOrdered, nullable=False, unique=True),
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False),
    Column("description", Text, nullable=False),
    Column("pull_count", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Grows with each update of the description. Etags are made from it.
    Column("version", BigInteger, nullable=False, server_default="0"),
    # The orders of lists, of one project and of all. A push changes the update time once a second at most, and pulls
    # are counted together. So these indexes do not slow them down.
    Index(None, "project_id", "create_time", "id"),
    Index(None, "create_time", "id"),
    Index(None, "project_id", "name"),
    Index(None, "project_id", "update_time", "id"),
    Index(None, "update_time", "id"),
    Index(None, "project_id", "pull_count", "id"),
    Index(None, "pull_count", "id"),
    sqlite_autoincrement=True,
)

artifact = Table(
    "artifact",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False),
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    # Stored in addition to the id for queries by operators (docs/operations.md). Names do not change.
    Column("repository_name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    # As in Harbor: the media type of the config; for an index, that of the manifest.
    Column("media_type", Text, nullable=False),
    # The Content-Type of its first push into this repository.
    Column("manifest_media_type", Text, nullable=False),
    # Filters referrers: artifactType, else the config's media type; '' for an index without artifactType.
    Column("artifact_type", Text, nullable=False),
    # Harbor's type: IMAGE, CHART, …
    Column("type", Text, nullable=False),
    # Bytes of the manifest and of all that it names.
    Column("size", BigInteger, nullable=False),
    # Bytes of the manifest alone.
    Column("manifest_size", BigInteger, nullable=False),
    Column("subject_digest", Text, nullable=False),
    Column("config_digest", Text, nullable=False),
    Column("push_time", UtcDateTime, nullable=False),
    Column("pull_time", UtcDateTime),
    # The last PUT, if there was one after the first. `push_time` is the first.
    Column("repeat_time", UtcDateTime),
    # The last HEAD or PUT while an index named it. HEADs are written once in a while only (`domain.review`).
    Column("asked_time", UtcDateTime),
    Column("extra_attrs", Json, nullable=False),
    Column("annotations", Json, nullable=False),
    UniqueConstraint("repository_id", "digest"),
    Index(None, "digest", "repository_name"),
    # The orders of lists, of one repository and of a project. The pull time has none: with an index on it, each pull
    # would write all entries of its artifact in all indexes.
    Index(None, "repository_id", "push_time", "id"),
    Index(None, "project_id", "push_time", "id"),
    Index(None, "repository_id", "size", "id"),
    Index(None, "project_id", "size", "id"),
    sqlite_autoincrement=True,
)

# The bytes are in a table of their own, so that lists of artifacts do not read them. Each repository has a copy:
# manifests are small, and a shared copy would need a reference count.
manifest = Table(
    "manifest",
    metadata,
    Column(
        "artifact_id",
        BigInteger,
        ForeignKey("artifact.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("content", LargeBinary, nullable=False),
)

tag = Table(
    "tag",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("artifact_id", BigInteger, ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False),
    Column("name", ByteOrdered, nullable=False),
    Column("push_time", UtcDateTime, nullable=False),
    Column("pull_time", UtcDateTime),
    UniqueConstraint("repository_id", "name"),
    Index(None, "artifact_id", "push_time", "id"),
    sqlite_autoincrement=True,
)

# Every move of every tag. Written by the commit, which knows the revision.
tag_history = Table(
    "tag_history",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("name", ByteOrdered, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # '' if the tag was deleted.
    Column("digest", Text, nullable=False),
    # '' if it was new.
    Column("previous_digest", Text, nullable=False),
    *actor_columns(),
    Column("move_time", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("repository_id", "name", "revision"),
)

# Children of an index, in its order. A child may be named twice.
artifact_reference = Table(
    "artifact_reference",
    metadata,
    Column("parent_id", BigInteger, ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),
    # No cascade, because a child must stay as long as an index names it.
    Column("child_id", BigInteger, ForeignKey("artifact.id"), nullable=False, index=True),
    Column("child_digest", Text, nullable=False),
    # {architecture, os, os_version, os_features, variant}, or NULL.
    Column("platform", Json),
    Column("annotations", Json, nullable=False),
    Column("urls", Json, nullable=False),
    PrimaryKeyConstraint("parent_id", "position"),
)

# Blobs whose bytes a manifest needs. Foreign layers are among them only if somebody has pushed their bytes.
artifact_blob = Table(
    "artifact_blob",
    metadata,
    Column("artifact_id", BigInteger, ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("artifact_id", "digest"),
    Index(None, "repository_id", "digest"),
)

# An artifact belongs to a subject, for one reason (`source`). The subject may come later, or never.
artifact_accessory = Table(
    "artifact_accessory",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("artifact_id", BigInteger, ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("subject_digest", Text, nullable=False),
    # subject: the manifest has a subject field. The others are tags whose names name the subject: signature_tag,
    # attestation_tag, sbom_tag, referrers_tag.
    Column("source", Word, nullable=False),
    # That tag; NULL for subject, and for an artifact that the tag has left for a newer one.
    Column("tag_id", BigInteger, ForeignKey("tag.id", ondelete="CASCADE"), unique=True),
    # Harbor's type: signature.cosign, signature.notation, …, subject.accessory.
    Column("type", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    UniqueConstraint("artifact_id", "subject_digest", "source"),
    Index(None, "repository_id", "subject_digest", "artifact_id"),
    sqlite_autoincrement=True,
)

# The rules that make tags of a project immutable: 15 at most.
immutable_rule = Table(
    "immutable_rule",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False),
    Column("disabled", Boolean, nullable=False),
    # What Harbor's clients send here is kept for them, and has no meaning.
    Column("priority", BigInteger, nullable=False),
    Column("template", Text, nullable=False),
    # [{pattern, excluding}, …] each.
    Column("repository_selectors", Json, nullable=False),
    Column("tag_selectors", Json, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Grows with each update. Etags are made from it.
    Column("version", BigInteger, nullable=False, server_default="0"),
    Index(None, "project_id", "id"),
    sqlite_autoincrement=True,
)

label = Table(
    "label",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    # 0 for a global label. So there is no foreign key; the deletion of a project deletes its labels.
    Column("project_id", BigInteger, nullable=False),
    Column("name", ByteOrdered, nullable=False),
    Column("description", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Grows with each update. Etags are made from it.
    Column("version", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("project_id", "name"),
    Index(None, "project_id", "create_time", "id"),
    sqlite_autoincrement=True,
)

# The labels on artifacts: global ones, and those of the artifact's project.
artifact_label = Table(
    "artifact_label",
    metadata,
    Column("artifact_id", BigInteger, ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False),
    Column("label_id", BigInteger, ForeignKey("label.id", ondelete="CASCADE"), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("artifact_id", "label_id"),
    Index(None, "label_id", "artifact_id"),
)

# The current generation of each digest, and its state.
blob = Table(
    "blob",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    # live; condemned: garbage collection will delete the bytes; quarantined: the bytes do not match the digest.
    Column("state", Word, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
)

# The link that lets a repository serve a blob.
repository_blob = Table(
    "repository_blob",
    metadata,
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Text, ForeignKey("blob.digest"), nullable=False, index=True),
    Column("create_time", UtcDateTime, nullable=False),
    # Whether the project is charged for it. False after the last manifest that named the blob was deleted here.
    Column("charged", Boolean, nullable=False, server_default=true()),
    PrimaryKeyConstraint("repository_id", "digest"),
)

# The digests that count for a project's usage. Each counts once, for any number of links and manifests.
project_blob = Table(
    "project_blob",
    metadata,
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False),
    Column("digest", Text, nullable=False),
    # Charged links and manifests of this digest in the project.
    Column("count", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("project_id", "digest"),
)

# What garbage collection will look at, and when. A digest that is queued again is postponed.
review = Table(
    "review",
    metadata,
    # blob, manifest.
    Column("kind", Word, nullable=False),
    Column("digest", Text, nullable=False),
    # The repository of a manifest; 0 for a blob.
    Column("repository_id", BigInteger, nullable=False),
    Column("due_time", UtcDateTime, nullable=False, index=True),
    # Why it was queued last: linked, mounted, pushed, unlinked, …
    Column("reason", Word, nullable=False),
    PrimaryKeyConstraint("kind", "digest", "repository_id"),
)

# Generations that will never be live again, and are deleted (domain/tombstone.py).
tombstone = Table(
    "tombstone",
    metadata,
    Column("digest", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    # surplus, refused, replaced, unlinked.
    Column("reason", Word, nullable=False),
    # When its bytes may be deleted, or when a deletion is tried again.
    Column("due_time", UtcDateTime, nullable=False, index=True),
    Column("create_time", UtcDateTime, nullable=False, index=True),
    # When blobsvc had deleted it; NULL until then. The row stays as long as a receipt may be valid.
    Column("delete_time", UtcDateTime),
    PrimaryKeyConstraint("digest", "generation"),
)

# The id of the store that holds the blobs (domain/blob_store.py).
blob_store = Table(
    "blob_store",
    metadata,
    # Always 1: the table has one row at most.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("store_id", Text, nullable=False),
    CheckConstraint("id = 1", name="id"),
)

# The change log: the tables `change` and `change_log`.
CHANGES = ChangeLog(metadata, ChangeKind)

change_cursors = CursorTable(metadata)

# How far the logs of other services were read.
followed_logs = FollowedLogTable(metadata)

# The results of creates with an idempotency key, to answer repeats.
idempotency = idempotency_table(metadata)
