"""The first tables: executions, tasks and their logs, queues, schedules and workers."""

import sqlalchemy as sa
from alembic.operations import Operations

from svckit.sql.types import BigIntKey, Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Creates the tables."""
    op.create_table(
        "execution",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("vendor_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("trigger", sa.String(length=64), nullable=False),
        sa.Column("extra_attributes", Json(), nullable=False),
        sa.Column("parameters", Json(), nullable=False),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", Json(), nullable=True),
        sa.Column("schedule_id", sa.BigInteger(), nullable=True),
        sa.Column("fire_time", UtcDateTime(), nullable=True),
        sa.Column("start_time", UtcDateTime(), nullable=False),
        sa.Column("end_time", UtcDateTime(), nullable=True),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("pending_count", sa.BigInteger(), nullable=False),
        sa.Column("scheduled_count", sa.BigInteger(), nullable=False),
        sa.Column("running_count", sa.BigInteger(), nullable=False),
        sa.Column("success_count", sa.BigInteger(), nullable=False),
        sa.Column("error_count", sa.BigInteger(), nullable=False),
        sa.Column("stopped_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution")),
        sa.UniqueConstraint("schedule_id", "fire_time", name=op.f("uq_execution_schedule_id_fire_time")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_execution_kind_vendor_id_id", "execution", ["kind", "vendor_id", "id"], unique=False)
    op.create_index("ix_execution_start_time_id", "execution", ["start_time", "id"], unique=False)
    op.create_index("ix_execution_status_id", "execution", ["status", "id"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("made_id", sa.BigInteger(), nullable=True),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "method", "key_hash", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_create_time"), "idempotency", ["create_time"], unique=False)
    op.create_table(
        "queue",
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_queue")),
    )
    op.create_table(
        "schedule",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("vendor_id", sa.BigInteger(), nullable=False),
        sa.Column("cron_type", sa.String(length=64), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("parameters", Json(), nullable=False),
        sa.Column("next_time", UtcDateTime(), nullable=True),
        sa.Column("last_time", UtcDateTime(), nullable=True),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
        sa.UniqueConstraint("kind", "vendor_id", name=op.f("uq_schedule_kind_vendor_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_schedule_next_time"), "schedule", ["next_time"], unique=False)
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("concurrency", sa.BigInteger(), nullable=False),
        sa.Column("kinds", Json(), nullable=False),
        sa.Column("start_time", UtcDateTime(), nullable=False),
        sa.Column("heartbeat_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_index(op.f("ix_worker_heartbeat_time"), "worker", ["heartbeat_time"], unique=False)
    op.create_table(
        "task",
        sa.Column("id", BigIntKey, nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("vendor_id", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("parameters", Json(), nullable=False),
        sa.Column("extra_attributes", Json(), nullable=False),
        sa.Column("due_time", UtcDateTime(), nullable=True),
        sa.Column("queue_time", UtcDateTime(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("losses", sa.BigInteger(), nullable=False),
        sa.Column("maximum_failures", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=False),
        sa.Column("claim_key", sa.String(length=64), nullable=False),
        sa.Column("lease_end_time", UtcDateTime(), nullable=True),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("progress_done", sa.BigInteger(), nullable=True),
        sa.Column("progress_total", sa.BigInteger(), nullable=False),
        sa.Column("progress_text", sa.Text(), nullable=False),
        sa.Column("check_in", sa.Text(), nullable=False),
        sa.Column("check_in_time", UtcDateTime(), nullable=True),
        sa.Column("log_bytes", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("start_time", UtcDateTime(), nullable=True),
        sa.Column("end_time", UtcDateTime(), nullable=True),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_task_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_task_execution_id_id", "task", ["execution_id", "id"], unique=False)
    op.create_index("ix_task_status_due_time", "task", ["status", "due_time"], unique=False)
    op.create_index("ix_task_status_kind_priority_id", "task", ["status", "kind", "priority", "id"], unique=False)
    op.create_index("ix_task_status_lease_end_time", "task", ["status", "lease_end_time"], unique=False)
    op.create_index("ix_task_worker_id_status", "task", ["worker_id", "status"], unique=False)
    op.create_table(
        "task_log",
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_task_log_task_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "run", "sequence", name=op.f("pk_task_log")),
    )
    op.create_index(op.f("ix_task_log_create_time"), "task_log", ["create_time"], unique=False)
