"""Tombstones of generations. Surplus generations get one, because they are deleted now."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """Creates the table, and moves the rows of `surplus` into it."""
    op.create_table(
        "tombstone",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("due_time", UtcDateTime(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("delete_time", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest", "generation", name="pk_tombstone"),
    )
    op.create_index("ix_tombstone_due_time", "tombstone", ["due_time"])
    op.create_index("ix_tombstone_create_time", "tombstone", ["create_time"])
    # A surplus generation may be live by now: before there were tombstones, it could be adopted later.
    op.execute(
        "INSERT INTO tombstone (digest, generation, reason, due_time, create_time)"
        " SELECT digest, generation, 'surplus', create_time, create_time FROM surplus WHERE NOT EXISTS"
        " (SELECT 1 FROM blob WHERE blob.digest = surplus.digest AND blob.generation = surplus.generation)"
    )
    op.drop_table("surplus")
