"""User groups, the users in them, and groups as members of projects. Existing memberships stay, with their ids."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, ByteOrdered, UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade(op: Operations) -> None:
    """Creates the tables of groups, and alters the one of memberships."""
    op.create_table(
        "user_group",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("type", sa.BigInteger(), nullable=False),
        sa.Column("ldap_group_dn", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.Column("update_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_group")),
        sa.UniqueConstraint("ldap_group_dn", name=op.f("uq_user_group_ldap_group_dn")),
        sa.UniqueConstraint("name", "type", name=op.f("uq_user_group_name_type")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_user_group_name_id", "user_group", ["name", "id"], unique=False)
    op.create_index("ix_user_group_create_time_id", "user_group", ["create_time", "id"], unique=False)
    op.create_table(
        "user_group_member",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_group.id"], name=op.f("fk_user_group_member_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_user_group_member_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_user_group_member")),
    )
    op.create_index("ix_user_group_member_group_id_user_id", "user_group_member", ["group_id", "user_id"], unique=False)

    highest = _highest_id(op)
    with op.batch_alter_table("member", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("user_id", existing_type=sa.BigInteger(), nullable=True)
        batch.add_column(sa.Column("group_id", sa.BigInteger(), nullable=True))
        batch.create_foreign_key(op.f("fk_member_group_id"), "user_group", ["group_id"], ["id"], ondelete="CASCADE")
        batch.create_unique_constraint(op.f("uq_member_project_id_group_id"), ["project_id", "group_id"])
        batch.create_check_constraint(op.f("ck_member_one_entity"), "(user_id IS NULL) <> (group_id IS NULL)")
    _keep_highest_id(op, highest)
    op.create_index(op.f("ix_member_group_id"), "member", ["group_id"], unique=False)


def _highest_id(op: Operations) -> int:
    """The highest id that a membership ever had (SQLite)."""
    if op.get_bind().dialect.name != "sqlite":
        return 0
    return op.get_bind().scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'member'")) or 0


def _keep_highest_id(op: Operations, highest: int) -> None:
    """The copied table counts from its rows. Without this, the ids of ended memberships would be used again."""
    if highest:
        op.get_bind().execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'member'"))
        op.get_bind().execute(
            sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('member', :seq)"), {"seq": highest}
        )
