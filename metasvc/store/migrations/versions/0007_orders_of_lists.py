"""Indexes for the orders of lists: of repositories, and of the artifacts of a project."""

from alembic.operations import Operations

revision = "0007"
down_revision = "0006"

INDEXES = (
    ("repository", ("project_id", "name")),
    ("repository", ("project_id", "update_time", "id")),
    ("repository", ("update_time", "id")),
    ("repository", ("project_id", "pull_count", "id")),
    ("repository", ("pull_count", "id")),
    ("artifact", ("project_id", "push_time", "id")),
)


def upgrade(op: Operations) -> None:
    """Creates them. The last one also finds the artifacts of a project."""
    for table, columns in INDEXES:
        op.create_index(op.f("_".join(("ix", table, *columns))), table, list(columns))
    op.drop_index(op.f("ix_artifact_project_id"), table_name="artifact")
