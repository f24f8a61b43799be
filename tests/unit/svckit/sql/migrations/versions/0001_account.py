"""Accounts."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

from svckit.sql.types import BigIntKey, Json

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0001"
down_revision = None


def upgrade(op: "Operations") -> None:
    op.create_table(
        "account",
        sa.Column("id", BigIntKey, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("balance", BigIntKey, nullable=False),
        sa.Column("labels", Json()),
        sqlite_autoincrement=True,
    )
    op.create_index("account_name_uq", "account", ["name"], unique=True)
