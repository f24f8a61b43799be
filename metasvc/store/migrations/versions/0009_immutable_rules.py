"""Rules that make tags immutable."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, Json, UtcDateTime

revision = "0009"
down_revision = "0008"


def upgrade(op: Operations) -> None:
    """Creates the table. Existing projects have no rules."""
    op.create_table(
        "immutable_rule",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("repository_selectors", Json(), nullable=False),
        sa.Column("tag_selectors", Json(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_immutable_rule_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_immutable_rule")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_immutable_rule_project_id_id"), "immutable_rule", ["project_id", "id"])
    for column in ("immutable_rules", "immutability_version"):
        op.add_column("project", sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
