"""Positions in the change logs of other services."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import ByteOrdered

revision = "0011"
down_revision = "0010"


def upgrade(op: Operations) -> None:
    """Creates the table, without positions: the first start reads everything."""
    op.create_table(
        "followed_log",
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_followed_log")),
    )
