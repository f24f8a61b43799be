"""The tables of metasvc.

`store/migrations` makes them; a test holds the two against each other. On PostgreSQL they live in a schema of their
own.

Rows are locked in one order by every write, so that no two writes wait for each other: project, idempotency,
repository, artifacts (by digest), tags (by name), blobs (by digest), reviews, the date of the repository, project_blob
(by digest), the project's usage, the change log. The rows of project and repository are first taken FOR KEY SHARE. A
change of usage, date or description does not wait for that, and a fence or a delete (FOR UPDATE) does.
"""

from sqlalchemy import (
    BigInteger,
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
)

from metasvc.domain.model import ChangeKind
from svckit.sql.actor import actor_columns
from svckit.sql.change_log import ChangeLog
from svckit.sql.idempotency import idempotency_table
from svckit.sql.names import NAMING_CONVENTION
from svckit.sql.types import BigIntKey, ByteOrdered, Json, UtcDateTime

metadata = MetaData(naming_convention=NAMING_CONVENTION)

Word = String(32)
"""One of a few values that the domain checks."""

project = Table(
    "project",
    metadata,
    # authsvc's id, which is never given to another project.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", ByteOrdered, nullable=False, unique=True),
    # active; deleting: nothing more is linked or put; deleted: a mark, under another name.
    Column("state", Word, nullable=False),
    # -1: no limit.
    Column("quota_bytes", BigInteger, nullable=False),
    # Every digest counts once, by its row in project_blob.
    Column("used_bytes", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Grows each time the quota is set: the etag of updates.
    Column("quota_version", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("used_bytes >= 0", name="used_bytes"),
)

repository = Table(
    "repository",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    # In full, such as "library/nginx".
    Column("name", ByteOrdered, nullable=False, unique=True),
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False),
    Column("description", Text, nullable=False),
    Column("pull_count", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Grows with each update of the description: the etag of updates.
    Column("version", BigInteger, nullable=False, server_default="0"),
    # The order in which people are shown them: of one project, and of all.
    Index(None, "project_id", "create_time", "id"),
    Index(None, "create_time", "id"),
    sqlite_autoincrement=True,
)

artifact = Table(
    "artifact",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False, index=True),
    Column("repository_id", BigInteger, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    # Beside the id, so that people can ask by it (docs/operations.md); names do not change.
    Column("repository_name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    # As Harbor: the config's media type; the manifest's own for an index.
    Column("media_type", Text, nullable=False),
    # The Content-Type of its first push into this repository.
    Column("manifest_media_type", Text, nullable=False),
    # As referrers are filtered: artifactType, else the config's media type; '' for an index without one.
    Column("artifact_type", Text, nullable=False),
    # Harbor's: IMAGE, CHART, …
    Column("type", Text, nullable=False),
    # Bytes of the manifest and of all that it names.
    Column("size", BigInteger, nullable=False),
    # Bytes of the manifest alone.
    Column("manifest_size", BigInteger, nullable=False),
    Column("subject_digest", Text, nullable=False),
    Column("config_digest", Text, nullable=False),
    Column("push_time", UtcDateTime, nullable=False),
    Column("pull_time", UtcDateTime),
    Column("extra_attrs", Json, nullable=False),
    Column("annotations", Json, nullable=False),
    UniqueConstraint("repository_id", "digest"),
    Index(None, "digest", "repository_name"),
    Index(None, "repository_id", "push_time", "id"),
    sqlite_autoincrement=True,
)

# The bytes apart from the row, so that whoever lists artifacts reads none. One copy for each repository: manifests are
# small, and a copy that is shared would have to be counted.
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
    # '' where the tag was deleted.
    Column("digest", Text, nullable=False),
    # '' where it was new.
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
    # Without a cascade: a child stays for as long as an index names it.
    Column("child_id", BigInteger, ForeignKey("artifact.id"), nullable=False, index=True),
    Column("child_digest", Text, nullable=False),
    # {architecture, os, os_version, os_features, variant}, or NULL.
    Column("platform", Json),
    Column("annotations", Json, nullable=False),
    Column("urls", Json, nullable=False),
    PrimaryKeyConstraint("parent_id", "position"),
)

# Blobs whose bytes a manifest needs. Foreign layers are not among them.
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

# Artifacts that name a subject. The subject may come later, or never.
artifact_accessory = Table(
    "artifact_accessory",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("artifact_id", BigInteger, ForeignKey("artifact.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("subject_digest", Text, nullable=False),
    # Harbor's: signature.cosign, signature.notation, …, subject.accessory.
    Column("type", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Index(None, "repository_id", "subject_digest", "artifact_id"),
    sqlite_autoincrement=True,
)

# Which copy of a digest lives.
blob = Table(
    "blob",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    # live; condemned: the collector has decided, and the bytes go; quarantined: the bytes are not what they should be.
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
    PrimaryKeyConstraint("repository_id", "digest"),
)

# What a project is charged for: each digest once, however many links and manifests there are.
project_blob = Table(
    "project_blob",
    metadata,
    Column("project_id", BigInteger, ForeignKey("project.id"), nullable=False),
    Column("digest", Text, nullable=False),
    # Links and manifests of this digest in the project.
    Column("count", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("project_id", "digest"),
)

# What the collector has to look at, and when. A conflict pushes the date forward.
review = Table(
    "review",
    metadata,
    # blob, manifest.
    Column("kind", Word, nullable=False),
    Column("digest", Text, nullable=False),
    # Of a manifest; 0 for a blob, which belongs to none.
    Column("repository_id", BigInteger, nullable=False),
    Column("due_time", UtcDateTime, nullable=False, index=True),
    # Why it was queued last: linked, mounted, pushed, unlinked, …
    Column("reason", Word, nullable=False),
    PrimaryKeyConstraint("kind", "digest", "repository_id"),
)

# Generations that are not wanted: another one of the digest lives.
surplus = Table(
    "surplus",
    metadata,
    Column("digest", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("digest", "generation"),
)

# What was changed: `change`, and `change_log` beside it.
CHANGES = ChangeLog(metadata, ChangeKind)

# What repeated creates are answered by.
idempotency = idempotency_table(metadata)
