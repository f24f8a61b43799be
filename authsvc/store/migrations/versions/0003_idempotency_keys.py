"""Replaces request ids by idempotency keys.

The rows of `request` are dropped: they hold the callers' keys in clear text and no hash of the requests, and each is
valid for one day only. A create that is repeated after the upgrade counts as a new create. The unique names of users,
projects and members refuse it.
"""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    """Drops the table `request` and creates `idempotency`."""
    op.drop_table("request")
    op.create_table(
        "idempotency",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("made_id", sa.BigInteger(), nullable=True),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("subject", "method", "key_hash", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_create_time"), "idempotency", ["create_time"], unique=False)
