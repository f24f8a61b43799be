"""The id of the blob store. It is filled in when blobsvc first speaks of its store."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations) -> None:
    """Creates the table."""
    op.create_table(
        "blob_store",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_blob_store_id"),
        sa.PrimaryKeyConstraint("id", name="pk_blob_store"),
    )
