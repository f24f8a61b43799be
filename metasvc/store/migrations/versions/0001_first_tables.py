"""The first tables: projects, repositories, artifacts, tags, blobs, usage and changes."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, Json, UtcDateTime

revision = "0001"
down_revision = None

BYTE_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Creates the tables."""
    op.create_table(
        "blob",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blob")),
    )
    op.create_table(
        "change",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_change")),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", BYTE_ORDERED, nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.CheckConstraint("used_bytes >= 0", name=op.f("ck_project_used_bytes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
    )
    op.create_table(
        "review",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("due_time", UtcDateTime, nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("kind", "digest", "repository_id", name=op.f("pk_review")),
    )
    op.create_index(op.f("ix_review_due_time"), "review", ["due_time"], unique=False)
    op.create_table(
        "surplus",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", "generation", name=op.f("pk_surplus")),
    )
    op.create_table(
        "project_blob",
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_project_blob_project_id")),
        sa.PrimaryKeyConstraint("project_id", "digest", name=op.f("pk_project_blob")),
    )
    op.create_table(
        "repository",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("name", BYTE_ORDERED, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("pull_count", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_repository_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository")),
        sa.UniqueConstraint("name", name=op.f("uq_repository_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_repository_create_time_id"), "repository", ["create_time", "id"], unique=False)
    op.create_index(
        op.f("ix_repository_project_id_create_time_id"), "repository", ["project_id", "create_time", "id"], unique=False
    )
    op.create_table(
        "artifact",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("manifest_media_type", sa.Text(), nullable=False),
        sa.Column("artifact_type", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("manifest_size", sa.BigInteger(), nullable=False),
        sa.Column("subject_digest", sa.Text(), nullable=False),
        sa.Column("config_digest", sa.Text(), nullable=False),
        sa.Column("push_time", UtcDateTime, nullable=False),
        sa.Column("pull_time", UtcDateTime, nullable=True),
        sa.Column("extra_attrs", Json, nullable=False),
        sa.Column("annotations", Json, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_artifact_project_id")),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_artifact_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifact")),
        sa.UniqueConstraint("repository_id", "digest", name=op.f("uq_artifact_repository_id_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_artifact_digest_repository_name"), "artifact", ["digest", "repository_name"], unique=False)
    op.create_index(op.f("ix_artifact_project_id"), "artifact", ["project_id"], unique=False)
    op.create_index(
        op.f("ix_artifact_repository_id_push_time_id"), "artifact", ["repository_id", "push_time", "id"], unique=False
    )
    op.create_table(
        "repository_blob",
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blob.digest"], name=op.f("fk_repository_blob_digest")),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_repository_blob_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "digest", name=op.f("pk_repository_blob")),
    )
    op.create_index(op.f("ix_repository_blob_digest"), "repository_blob", ["digest"], unique=False)
    op.create_table(
        "tag_history",
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("name", BYTE_ORDERED, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("previous_digest", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("move_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_tag_history_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "name", "revision", name=op.f("pk_tag_history")),
    )
    op.create_table(
        "artifact_accessory",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("artifact_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_digest", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_artifact_accessory_artifact_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifact_accessory")),
        sa.UniqueConstraint("artifact_id", name=op.f("uq_artifact_accessory_artifact_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_artifact_accessory_repository_id_subject_digest_artifact_id"),
        "artifact_accessory",
        ["repository_id", "subject_digest", "artifact_id"],
        unique=False,
    )
    op.create_table(
        "artifact_blob",
        sa.Column("artifact_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_artifact_blob_artifact_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("artifact_id", "digest", name=op.f("pk_artifact_blob")),
    )
    op.create_index(op.f("ix_artifact_blob_digest"), "artifact_blob", ["digest"], unique=False)
    op.create_index(
        op.f("ix_artifact_blob_repository_id_digest"), "artifact_blob", ["repository_id", "digest"], unique=False
    )
    op.create_table(
        "artifact_reference",
        sa.Column("parent_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("child_id", sa.BigInteger(), nullable=False),
        sa.Column("child_digest", sa.Text(), nullable=False),
        sa.Column("platform", Json, nullable=True),
        sa.Column("annotations", Json, nullable=False),
        sa.Column("urls", Json, nullable=False),
        sa.ForeignKeyConstraint(["child_id"], ["artifact.id"], name=op.f("fk_artifact_reference_child_id")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["artifact.id"], name=op.f("fk_artifact_reference_parent_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("parent_id", "position", name=op.f("pk_artifact_reference")),
    )
    op.create_index(op.f("ix_artifact_reference_child_id"), "artifact_reference", ["child_id"], unique=False)
    op.create_table(
        "manifest",
        sa.Column("artifact_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_manifest_artifact_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("artifact_id", name=op.f("pk_manifest")),
    )
    op.create_table(
        "tag",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("artifact_id", sa.BigInteger(), nullable=False),
        sa.Column("name", BYTE_ORDERED, nullable=False),
        sa.Column("push_time", UtcDateTime, nullable=False),
        sa.Column("pull_time", UtcDateTime, nullable=True),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifact.id"], name=op.f("fk_tag_artifact_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_tag_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag")),
        sa.UniqueConstraint("repository_id", "name", name=op.f("uq_tag_repository_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tag_artifact_id_push_time_id"), "tag", ["artifact_id", "push_time", "id"], unique=False)
