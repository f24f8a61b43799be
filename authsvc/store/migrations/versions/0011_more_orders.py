"""Indexes for users in the order of their mail addresses, and projects in the order of their changes."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0011"
down_revision = "0010"


def upgrade(op: Operations) -> None:
    """Creates them."""
    op.create_index("ix_user_email_id", "user", [sa.text("coalesce(email, '')"), "id"], unique=False)
    op.create_index("ix_project_update_time_id", "project", ["update_time", "id"], unique=False)
