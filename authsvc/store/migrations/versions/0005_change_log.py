"""The change log. It starts empty, because it is not known who made the existing rows."""

import uuid

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import Json, UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations) -> None:
    """Creates its tables and its first epoch."""
    op.create_table(
        "change",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("resource_id", sa.BigInteger(), nullable=False),
        sa.Column("resource_name", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", Json(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("client_address", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("old", Json(), nullable=True),
        sa.Column("new", Json(), nullable=True),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_change")),
    )
    state = op.create_table(
        "change_log",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("compacted_to", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_change_log_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_log")),
    )
    op.bulk_insert(state, [{"id": 1, "epoch": uuid.uuid4().hex, "compacted_to": 0}])
