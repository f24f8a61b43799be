"""Robots of the system level, permissions in many projects, and denied ones. Existing robots keep what they have."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"


def upgrade(op: Operations) -> None:
    """Alters the robots' tables, and adds one for permissions beyond single projects."""
    highest = _highest_id(op)
    op.add_column("robot", sa.Column("scope_id", sa.BigInteger(), nullable=True))
    op.execute("UPDATE robot SET scope_id = project_id")
    with op.batch_alter_table("robot", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("project_id", existing_type=sa.BigInteger(), nullable=True)
        batch.alter_column("scope_id", existing_type=sa.BigInteger(), nullable=False)
        batch.drop_constraint(op.f("uq_robot_project_id_name"), type_="unique")
        batch.create_unique_constraint(op.f("uq_robot_scope_id_name"), ["scope_id", "name"])
        batch.create_check_constraint(op.f("ck_robot_scope"), "scope_id = coalesce(project_id, 0)")
    _keep_highest_id(op, highest)
    op.create_index(op.f("ix_robot_project_id"), "robot", ["project_id"], unique=False)
    op.create_index("ix_robot_scope_id_create_time_id", "robot", ["scope_id", "create_time", "id"], unique=False)
    op.create_index("ix_robot_scope_id_update_time_id", "robot", ["scope_id", "update_time", "id"], unique=False)
    op.create_index("ix_robot_scope_id_id", "robot", ["scope_id", "id"], unique=False)

    op.add_column("robot_permission", sa.Column("effect", sa.String(length=64), nullable=False, server_default=""))
    with op.batch_alter_table("robot_permission") as batch:
        batch.alter_column("effect", existing_type=sa.String(length=64), existing_nullable=False, server_default=None)
        batch.drop_constraint(op.f("pk_robot_permission"), type_="primary")
        batch.create_primary_key(
            op.f("pk_robot_permission"), ["robot_id", "project_id", "resource", "action", "effect"]
        )
    op.create_table(
        "robot_wide_permission",
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("effect", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["robot_id"], ["robot.id"], name=op.f("fk_robot_wide_permission_robot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "robot_id", "kind", "resource", "action", "effect", name=op.f("pk_robot_wide_permission")
        ),
    )


def _highest_id(op: Operations) -> int:
    """The highest id that a robot ever had (SQLite)."""
    if op.get_bind().dialect.name != "sqlite":
        return 0
    return op.get_bind().scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'robot'")) or 0


def _keep_highest_id(op: Operations, highest: int) -> None:
    """The copied table counts from its rows. Without this, the ids of robots deleted before would be used again."""
    if highest:
        op.get_bind().execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'robot'"))
        op.get_bind().execute(
            sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('robot', :seq)"), {"seq": highest}
        )
