"""Adds a version to users, members and robots. Their etags are made from it."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """Adds the columns. Existing rows get version 1."""
    for table in ("user", "member", "robot"):
        op.add_column(table, sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1")))
