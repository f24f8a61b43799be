"""Indexes for lists of artifacts that are sorted by size."""

from alembic.operations import Operations

revision = "0008"
down_revision = "0007"


def upgrade(op: Operations) -> None:
    """Creates them."""
    for owner in ("repository_id", "project_id"):
        op.create_index(op.f(f"ix_artifact_{owner}_size_id"), "artifact", [owner, "size", "id"])
