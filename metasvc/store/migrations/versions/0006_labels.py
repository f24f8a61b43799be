"""Labels, and the artifacts that they are on."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, ByteOrdered, UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade(op: Operations) -> None:
    """Creates the tables."""
    op.create_table(
        "label",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_label_project_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_label_project_id_create_time_id"), "label", ["project_id", "create_time", "id"])
    op.create_table(
        "artifact_label",
        sa.Column("artifact_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_artifact_label_artifact_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["label.id"], name=op.f("fk_artifact_label_label_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("artifact_id", "label_id", name=op.f("pk_artifact_label")),
    )
    op.create_index(op.f("ix_artifact_label_label_id_artifact_id"), "artifact_label", ["label_id", "artifact_id"])
