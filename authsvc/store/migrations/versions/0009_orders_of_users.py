"""Indexes for the orders in which users are listed."""

from alembic.operations import Operations

revision = "0009"
down_revision = "0008"


def upgrade(op: Operations) -> None:
    """Creates them."""
    op.create_index("ix_user_update_time_id", "user", ["update_time", "id"], unique=False)
    op.create_index("ix_user_realname_id", "user", ["realname", "id"], unique=False)
