"""The tables of jobsvc.

`store/migrations` creates them; a test compares the two. On PostgreSQL they are in a schema of their own. The order in
which rows are locked is that of `domain.rows`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from svckit.sql.actor import actor_columns
from svckit.sql.idempotency import idempotency_table
from svckit.sql.names import NAMING_CONVENTION
from svckit.sql.types import BigIntKey, Json, UtcDateTime

metadata = MetaData(naming_convention=NAMING_CONVENTION)

Word = String(64)
"""One of a few values, or the name of a kind."""

execution = Table(
    "execution",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("kind", Word, nullable=False),
    Column("vendor_id", BigInteger, nullable=False),
    Column("status", Word, nullable=False),
    Column("status_message", Text, nullable=False),
    Column("trigger", Word, nullable=False),
    Column("extra_attributes", Json, nullable=False),
    Column("parameters", Json, nullable=False),
    *actor_columns(),
    # The schedule may have been replaced since, so this is no foreign key.
    Column("schedule_id", BigInteger, nullable=True),
    # The time of the schedule that this is for. Each is there once, however many replicas fire it.
    Column("fire_time", UtcDateTime, nullable=True),
    Column("start_time", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime, nullable=True),
    Column("update_time", UtcDateTime, nullable=False),
    Column("stop_requested", Boolean, nullable=False),
    # How many tasks there are, by status. They are written in the transactions that change the tasks.
    Column("pending_count", BigInteger, nullable=False),
    Column("scheduled_count", BigInteger, nullable=False),
    Column("running_count", BigInteger, nullable=False),
    Column("success_count", BigInteger, nullable=False),
    Column("error_count", BigInteger, nullable=False),
    Column("stopped_count", BigInteger, nullable=False),
    UniqueConstraint("schedule_id", "fire_time"),
    Index("ix_execution_start_time_id", "start_time", "id"),
    Index("ix_execution_kind_vendor_id_id", "kind", "vendor_id", "id"),
    Index("ix_execution_status_id", "status", "id"),
    sqlite_autoincrement=True,
)

task = Table(
    "task",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("execution_id", BigInteger, ForeignKey("execution.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Word, nullable=False),
    Column("vendor_id", BigInteger, nullable=False),
    # Those with the smallest number go first.
    Column("priority", BigInteger, nullable=False),
    Column("status", Word, nullable=False),
    Column("status_message", Text, nullable=False),
    Column("parameters", Json, nullable=False),
    Column("extra_attributes", Json, nullable=False),
    # When it may run; only while it is Scheduled.
    Column("due_time", UtcDateTime, nullable=True),
    # When it last came into its queue.
    Column("queue_time", UtcDateTime, nullable=False),
    # One more with each claim. What is said of an older run changes nothing.
    Column("run", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("losses", BigInteger, nullable=False),
    Column("maximum_failures", BigInteger, nullable=False),
    # Empty for none. The worker's row may be gone.
    Column("worker_id", Word, nullable=False),
    Column("claim_key", Word, nullable=False),
    Column("lease_end_time", UtcDateTime, nullable=True),
    Column("stop_requested", Boolean, nullable=False),
    # NULL if the handler has not said how far it is.
    Column("progress_done", BigInteger, nullable=True),
    Column("progress_total", BigInteger, nullable=False),
    Column("progress_text", Text, nullable=False),
    Column("check_in", Text, nullable=False),
    Column("check_in_time", UtcDateTime, nullable=True),
    # Bytes of its log.
    Column("log_bytes", BigInteger, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("start_time", UtcDateTime, nullable=True),
    Column("end_time", UtcDateTime, nullable=True),
    Column("update_time", UtcDateTime, nullable=False),
    Index("ix_task_execution_id_id", "execution_id", "id"),
    # The queues, in the order in which they are emptied; and how many tasks of a kind wait or run.
    Index("ix_task_status_kind_priority_id", "status", "kind", "priority", "id"),
    Index("ix_task_status_lease_end_time", "status", "lease_end_time"),
    Index("ix_task_status_due_time", "status", "due_time"),
    Index("ix_task_worker_id_status", "worker_id", "status"),
    sqlite_autoincrement=True,
)

task_log = Table(
    "task_log",
    metadata,
    Column("task_id", BigInteger, ForeignKey("task.id", ondelete="CASCADE"), nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    # Whole lines.
    Column("text", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False, index=True),
    PrimaryKeyConstraint("task_id", "run", "sequence"),
)

# One row for each kind, and one for all schedules.
queue = Table(
    "queue",
    metadata,
    Column("kind", Word, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
)

schedule = Table(
    "schedule",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("kind", Word, nullable=False),
    Column("vendor_id", BigInteger, nullable=False),
    Column("cron_type", Word, nullable=False),
    Column("cron", Text, nullable=False),
    Column("parameters", Json, nullable=False),
    # NULL if there are no more times.
    Column("next_time", UtcDateTime, nullable=True, index=True),
    Column("last_time", UtcDateTime, nullable=True),
    Column("update_time", UtcDateTime, nullable=False),
    # Whether the program has made it, from the default of the kind.
    Column("is_default", Boolean, nullable=False),
    UniqueConstraint("kind", "vendor_id"),
    # A change makes a new row. Executions name the old one.
    sqlite_autoincrement=True,
)

worker = Table(
    "worker",
    metadata,
    Column("id", Word, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("concurrency", BigInteger, nullable=False),
    Column("kinds", Json, nullable=False),
    Column("start_time", UtcDateTime, nullable=False),
    Column("heartbeat_time", UtcDateTime, nullable=False, index=True),
)

idempotency = idempotency_table(metadata)
