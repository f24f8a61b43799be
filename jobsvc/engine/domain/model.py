"""Executions, tasks, schedules, queues and workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobsvc.engine.domain.kind import USUAL_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts, TaskStatus, Trigger
    from svckit.actor import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a job for one object.

    Attributes:
        id: its id.
        kind: the name of its kind.
        vendor_id: id of the object that it is for.
        status: follows from the counts, if it has tasks.
        status_message: for people.
        trigger: why it was started.
        extra_attributes: what the kind wants to show.
        parameters: what was asked for.
        operator: who started it.
        counts: how many tasks it has, by status. They are kept in the transactions that change the tasks.
        schedule_id: the schedule that started it; None for none.
        start_time: when it was started.
        end_time: when it ended.
        update_time: when its status or counts last changed.
        stop_requested: whether somebody has asked for it to stop. Its tasks are not tried again then.
    """

    id: int
    kind: str
    vendor_id: int
    status: ExecutionStatus
    status_message: str
    trigger: Trigger
    extra_attributes: Mapping[str, object]
    parameters: Mapping[str, object]
    operator: Actor
    counts: TaskCounts
    schedule_id: int | None
    start_time: datetime
    end_time: datetime | None
    update_time: datetime
    stop_requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a task is.

    Attributes:
        done: what is done.
        total: what there is to do; 0 if that is not known.
        text: what is being done.
    """

    done: int
    total: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of an execution's work.

    Attributes:
        id: its id.
        execution_id: its execution.
        kind: the name of its kind, and of the queue that it waits in.
        vendor_id: the execution's.
        priority: those with the smallest number go first.
        status: its status.
        status_message: for people.
        parameters: what is to be done.
        extra_attributes: what the kind wants to show.
        due_time: when it may run; only while it is Scheduled.
        queue_time: when it last came into its queue.
        run: how often it was claimed. What workers say of an older run changes nothing.
        failures: how many runs have failed.
        losses: how many runs were lost with their worker.
        maximum_failures: after so many failures it ends in Error.
        worker_id: the worker that runs it, or ran it last.
        claim_key: names the claim by which the worker has got it.
        lease_end_time: when the worker loses it, unless it reports; only while it runs.
        stop_requested: whether somebody has asked for it to stop.
        progress: how far it is; None if nobody has said so.
        check_in: the last text that its handler has left behind.
        check_in_time: when that was.
        create_time: when it was made.
        start_time: when its last run began.
        end_time: when it ended.
        update_time: when its row was last changed, except by reports.
    """

    id: int
    execution_id: int
    kind: str
    vendor_id: int
    priority: int
    status: TaskStatus
    status_message: str
    parameters: Mapping[str, object]
    extra_attributes: Mapping[str, object]
    due_time: datetime | None
    queue_time: datetime
    run: int
    failures: int
    losses: int
    maximum_failures: int
    worker_id: str
    claim_key: str
    lease_end_time: datetime | None
    stop_requested: bool
    progress: Progress | None
    check_in: str
    check_in_time: datetime | None
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task that is going to be made.

    Attributes:
        kind: its kind; empty for that of its execution.
        parameters: what is to be done.
        extra_attributes: what the kind wants to show.
        priority: None for that of its kind.
        due_time: when it may run; None for at once.
    """

    kind: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    extra_attributes: Mapping[str, object] = field(default_factory=dict)
    priority: int | None = None
    due_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExecution:
    """An execution that is going to be started.

    Attributes:
        kind: the name of its kind.
        operator: who starts it.
        trigger: why.
        vendor_id: id of the object that it is for.
        parameters: what is asked for.
        extra_attributes: what the kind wants to show.
        tasks: its tasks. Without any, it ends in Success at once.
        message: the status message of an execution without tasks.
        schedule_id: the schedule that starts it; None for none.
        fire_time: the time of that schedule. A schedule starts one execution for each.
    """

    kind: str
    operator: Actor
    trigger: Trigger
    vendor_id: int = 0
    parameters: Mapping[str, object] = field(default_factory=dict)
    extra_attributes: Mapping[str, object] = field(default_factory=dict)
    tasks: Sequence[NewTask] = (NewTask(),)
    message: str = ""
    schedule_id: int | None = None
    fire_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """The values of a task's row that is inserted.

    Attributes:
        execution_id: its execution.
        kind: its kind.
        vendor_id: the execution's.
        priority: its priority.
        status: Pending, Scheduled, or Stopped if its execution was stopped.
        parameters: what is to be done.
        extra_attributes: what the kind wants to show.
        due_time: when it may run, if it is Scheduled.
        maximum_failures: of its kind.
    """

    execution_id: int
    kind: str
    vendor_id: int
    status: TaskStatus
    parameters: Mapping[str, object]
    extra_attributes: Mapping[str, object]
    due_time: datetime | None
    priority: int = USUAL_PRIORITY
    maximum_failures: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A task at the head of its queue.

    Attributes:
        kind: the queue.
        id: the task.
        priority: its priority.
        queue_time: when it came into the queue.
    """

    kind: str
    id: int
    priority: int
    queue_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What is in the queue of one kind.

    Attributes:
        kind: the kind.
        paused: whether nothing is taken from it.
        pending: how many tasks wait in it.
        oldest_time: when the oldest of them came; None without one.
        running: how many tasks of the kind run.
    """

    kind: str
    paused: bool
    pending: int
    oldest_time: datetime | None
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When executions of a kind are started for one object.

    Attributes:
        id: its id.
        kind: the name of the kind.
        vendor_id: id of the object.
        cron_type: "Hourly", "Daily", "Weekly" or "Custom".
        cron: six fields, in UTC.
        parameters: of its executions.
        next_time: when it starts the next one; None if its cron has no more times.
        last_time: the time for which it started the last one.
        update_time: when it was made or changed.
        is_default: whether the program has made it, from the kind's default.
    """

    id: int
    kind: str
    vendor_id: int
    cron_type: str
    cron: str
    parameters: Mapping[str, object]
    next_time: datetime | None
    last_time: datetime | None
    update_time: datetime
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process.

    Attributes:
        id: random, new with every start.
        host: name of its machine.
        pid: id of its process.
        concurrency: how many tasks it runs at once.
        kinds: the kinds that it has handlers for.
        start_time: when it started.
        heartbeat_time: when it was last heard of.
    """

    id: str
    host: str
    pid: int
    concurrency: int
    kinds: tuple[str, ...]
    start_time: datetime
    heartbeat_time: datetime


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """A place in the log of a task.

    Attributes:
        run: the run of the task.
        sequence: the piece of that run's log.
    """

    run: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPiece:
    """A piece of a task's log.

    Attributes:
        task_id: the task.
        position: its place.
        text: whole lines.
    """

    task_id: int
    position: LogPosition
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far a run is.

    Attributes:
        task_id: the task.
        run: the run.
        progress: None if nothing is new.
        check_in: None if nothing is new.
    """

    task_id: int
    run: int
    progress: Progress | None = None
    check_in: str | None = None
