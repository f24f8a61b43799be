"""Why an artifact is an accessory, which links are charged, and when manifests were last asked for.

Tags that name a subject (cosign's, and those of the referrers tag schema) become accessories of it.
"""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, UtcDateTime

revision = "0003"
down_revision = "0002"

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
# The length of "sha256-" and 64 digits, and what may follow: the source and type of the accessory.
_NAME_LENGTH = 71
_TAG_SOURCES = {
    "": ("referrers_tag", "subject.accessory"),
    ".sig": ("signature_tag", "signature.cosign"),
    ".att": ("attestation_tag", "subject.accessory"),
    ".sbom": ("sbom_tag", "subject.accessory"),
}


def upgrade(op: Operations) -> None:
    """Creates the columns, and the accessories of tags."""
    op.add_column("artifact", sa.Column("repeat_time", UtcDateTime, nullable=True))
    op.add_column("artifact", sa.Column("asked_time", UtcDateTime, nullable=True))
    # Until now, every link was charged.
    op.add_column("repository_blob", sa.Column("charged", sa.Boolean(), nullable=False, server_default=sa.true()))

    # The table is made again, because SQLite cannot drop a constraint.
    op.execute("CREATE TEMPORARY TABLE kept_accessory AS SELECT * FROM artifact_accessory")
    op.drop_table("artifact_accessory")
    op.create_table(
        "artifact_accessory",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("artifact_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_digest", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("tag_id", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_artifact_accessory_artifact_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name=op.f("fk_artifact_accessory_tag_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifact_accessory")),
        sa.UniqueConstraint("tag_id", name=op.f("uq_artifact_accessory_tag_id")),
        sa.UniqueConstraint(
            "artifact_id",
            "subject_digest",
            "source",
            name=op.f("uq_artifact_accessory_artifact_id_subject_digest_source"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_artifact_accessory_repository_id_subject_digest_artifact_id"),
        "artifact_accessory",
        ["repository_id", "subject_digest", "artifact_id"],
        unique=False,
    )
    names = ("artifact_id", "repository_id", "subject_digest", "type", "create_time")
    kept = sa.table("kept_accessory", *(sa.column(name) for name in ("id", *names)))
    accessory = sa.table("artifact_accessory", *(sa.column(name) for name in (*names, "source", "tag_id")))
    # The ids are given anew: PostgreSQL's sequence begins at 1 with the new table.
    op.execute(
        accessory.insert().from_select(
            [*names, "source"],
            sa.select(*(kept.c[name] for name in names), sa.literal("subject")).order_by(kept.c.id),
        )
    )
    op.drop_table(kept.name)
    for suffix, (source, kind) in _TAG_SOURCES.items():
        op.execute(accessory.insert().from_select([*names, "source", "tag_id"], _tagged(suffix, source, kind)))


def _tagged(suffix: str, source: str, kind: str) -> "sa.Select[tuple[object, ...]]":
    """The accessories whose tag has this suffix."""
    tag = sa.table("tag", *map(sa.column, ("id", "artifact_id", "repository_id", "name", "push_time")))
    artifact = sa.table("artifact", *map(sa.column, ("id", "digest", "manifest_media_type")))
    digits = sa.func.substr(tag.c.name, 8, 64)
    subject = sa.literal("sha256:") + digits
    conditions = [
        sa.func.length(tag.c.name) == _NAME_LENGTH + len(suffix),
        sa.func.substr(tag.c.name, 1, 7) == "sha256-",
        sa.func.substr(tag.c.name, _NAME_LENGTH + 1) == suffix,
        # All digits are hexadecimal.
        sa.func.ltrim(digits, "0123456789abcdef") == "",
        artifact.c.digest != subject,
    ]
    if not suffix:
        conditions.append(artifact.c.manifest_media_type == OCI_INDEX)
    return (
        sa.select(
            tag.c.artifact_id,
            tag.c.repository_id,
            subject,
            sa.literal(kind),
            tag.c.push_time,
            sa.literal(source),
            tag.c.id,
        )
        .select_from(tag.join(artifact, artifact.c.id == tag.c.artifact_id))
        .where(*conditions)
        .order_by(tag.c.id)
    )
