"""Refresh tokens, and the versions of passwords and secrets that they are bound to. Existing ones get version 1."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade(op: Operations) -> None:
    """Creates their table, and adds the columns."""
    for table in ("user", "robot"):
        op.add_column(
            table, sa.Column("credential_version", sa.BigInteger(), nullable=False, server_default=sa.text("1"))
        )
    op.create_table(
        "refresh_token",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("robot_id", sa.BigInteger(), nullable=True),
        sa.Column("credential_version", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.Column("create_address", sa.Text(), nullable=False),
        sa.Column("last_use_time", UtcDateTime, nullable=False),
        sa.Column("last_use_address", sa.Text(), nullable=False),
        sa.Column("expire_time", UtcDateTime, nullable=False),
        sa.CheckConstraint("(user_id IS NULL) <> (robot_id IS NULL)", name=op.f("ck_refresh_token_one_holder")),
        sa.ForeignKeyConstraint(["robot_id"], ["robot.id"], name=op.f("fk_refresh_token_robot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_refresh_token_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_token_token_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_refresh_token_expire_time"), "refresh_token", ["expire_time"], unique=False)
    op.create_index("ix_refresh_token_user_id_id", "refresh_token", ["user_id", "id"], unique=False)
    op.create_index("ix_refresh_token_robot_id_id", "refresh_token", ["robot_id", "id"], unique=False)
