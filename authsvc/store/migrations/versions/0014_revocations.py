"""Revocations of registry tokens."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import Json, UtcDateTime

revision = "0014"
down_revision = "0013"


def upgrade(op: Operations) -> None:
    """Creates the table, without rows: tokens of older releases expire by themselves."""
    op.create_table(
        "revocation",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("subjects", Json(), nullable=False),
        sa.Column("project_ids", Json(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_revocation")),
    )
    op.create_index(op.f("ix_revocation_time"), "revocation", ["time"], unique=False)
