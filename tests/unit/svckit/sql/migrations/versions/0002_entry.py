"""Entries, and when an account was seen."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

from svckit.sql.types import BigIntKey, UtcDateTime

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: "Operations") -> None:
    op.add_column("account", sa.Column("seen_time", UtcDateTime()))
    op.create_table(
        "entry",
        sa.Column("id", BigIntKey, primary_key=True),
        sa.Column("account_id", BigIntKey, sa.ForeignKey("account.id", name="entry_account_fk", ondelete="CASCADE")),
        sa.Column("amount", BigIntKey, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_entry_account_id", "entry", ["account_id"])
