"""Lists of accepted vulnerabilities. Existing projects, and the system, begin with empty ones, which need no row."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import Json, UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade(op: Operations) -> None:
    """Creates their table."""
    op.create_table(
        "cve_allowlist",
        sa.Column("project_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cve_ids", Json(), nullable=False),
        sa.Column("expire_time_unix_seconds", sa.BigInteger(), nullable=True),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_cve_allowlist")),
    )
