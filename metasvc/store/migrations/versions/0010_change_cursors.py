"""Cursors of the change log."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import ByteOrdered, UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade(op: Operations) -> None:
    """Creates the table, without cursors."""
    op.create_table(
        "change_cursor",
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("put_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_change_cursor")),
    )
