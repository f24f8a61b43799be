"""The runtime configuration. It starts empty: until an administrator changes a value, its default is in effect."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import Json, UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade(op: Operations) -> None:
    """Creates its table."""
    op.create_table(
        "configuration",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", Json(), nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_configuration")),
    )
