"""The common change log of all services, idempotency keys, and versions for etags.

An actor was a text such as "user:7", and is now kind, id and name. For older changes, the request, the client's
address, the token and the id of the repository are unknown.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.change_log import new_epoch
from svckit.sql.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"

BYTE_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

ACTOR = sa.column("actor", sa.Text)
ACTOR_COLUMNS = {
    "actor_kind": sa.case(
        (ACTOR.like("user:%"), "user"),
        (ACTOR.like("robot:%"), "robot"),
        (ACTOR.like("service:%"), "service"),
        else_="anonymous",
    ),
    "actor_id": sa.case(
        (ACTOR.like("user:%"), sa.cast(sa.func.substr(ACTOR, 6), sa.BigInteger)),
        (ACTOR.like("robot:%"), sa.cast(sa.func.substr(ACTOR, 7), sa.BigInteger)),
        else_=0,
    ),
    "actor_name": sa.case((ACTOR.like("service:%"), sa.func.substr(ACTOR, 9)), else_=""),
}
KIND, PROJECT_ID, REPOSITORY, REFERENCE = (
    sa.column("kind", sa.Text),
    sa.column("project_id", sa.BigInteger),
    sa.column("repository", sa.Text),
    sa.column("reference", sa.Text),
)
IS_PROJECT = KIND == "project_delete"


def upgrade(op: Operations) -> None:
    """Creates the tables and columns, and copies the existing rows."""
    # The old table is copied and dropped first: SQLite cannot alter columns, and the new table needs the same
    # constraint names.
    op.execute("CREATE TEMPORARY TABLE kept_change AS SELECT * FROM change")
    op.drop_table("change")
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
    empty = sa.literal("", sa.Text)
    _copy_rows(
        op,
        "change",
        {
            **{name: sa.column(name) for name in ("revision", "kind", "project_id", "digest", "time")},
            **ACTOR_COLUMNS,
            "resource_id": sa.case((IS_PROJECT, PROJECT_ID), else_=0),
            # The name of a deleted project was in `reference`.
            "resource_name": sa.case((IS_PROJECT, REFERENCE), else_=REPOSITORY),
            "reference": sa.case((IS_PROJECT, ""), else_=REFERENCE),
            "request_id": empty,
            "client_address": empty,
            "token_id": empty,
        },
    )

    op.create_table(
        "change_log",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("compacted_to", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_change_log_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_log")),
    )
    state = sa.table("change_log", sa.column("id"), sa.column("epoch"), sa.column("compacted_to"))
    op.bulk_insert(state, [{"id": 1, "epoch": new_epoch(), "compacted_to": 0}])

    op.execute("CREATE TEMPORARY TABLE kept_tag_history AS SELECT * FROM tag_history")
    op.drop_table("tag_history")
    op.create_table(
        "tag_history",
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("name", BYTE_ORDERED, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("previous_digest", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", Json(), nullable=True),
        sa.Column("move_time", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_tag_history_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "name", "revision", name=op.f("pk_tag_history")),
    )
    names = ("repository_id", "name", "revision", "digest", "previous_digest", "move_time")
    _copy_rows(op, "tag_history", {**{name: sa.column(name) for name in names}, **ACTOR_COLUMNS})

    op.create_table(
        "idempotency",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("made_id", sa.BigInteger(), nullable=True),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("subject", "method", "key_hash", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_create_time"), "idempotency", ["create_time"], unique=False)

    op.add_column("repository", sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("project", sa.Column("quota_version", sa.BigInteger(), nullable=False, server_default="0"))


def _copy_rows(op: Operations, name: str, values: Mapping[str, sa.ColumnElement[Any]]) -> None:
    """Copies the old rows of a table into the new one."""
    kept = sa.table(f"kept_{name}")
    target = sa.table(name, *(sa.column(column) for column in values))
    op.execute(target.insert().from_select(list(values), sa.select(*values.values()).select_from(kept)))
    op.drop_table(kept.name)
