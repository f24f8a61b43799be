"""What the administrators tell everybody."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, UtcDateTime

revision = "NEXT"
down_revision = "NEWEST"


def upgrade(op: Operations) -> None:
    """Makes the table."""
    op.create_table(
        "notice",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sqlite_autoincrement=True,
    )
