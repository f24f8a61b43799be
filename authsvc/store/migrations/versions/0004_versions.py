"""Versions of users, members and robots, from which their etags are made."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """Adds them. What is there has its first version."""
    for table in ("user", "member", "robot"):
        op.add_column(table, sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1")))
