"""Converts between the messages of `roadstead.job.v1` and the types of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.struct_pb2 import Struct

from jobsvc.engine.domain.cron import next_times
from jobsvc.engine.domain.finish import RunOutcome, RunResult
from jobsvc.engine.domain.model import LogPiece, LogPosition, NewTask, Progress, Report
from jobsvc.engine.domain.report import Verdict
from roadstead.job.v1 import execution_pb2, job_queue_pb2, schedule_pb2, task_pb2, work_pb2, worker_pool_pb2
from svckit.convert import from_actor, from_time, to_time
from svckit.errors import Invalid

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from google.protobuf.struct_pb2 import Value

    from jobsvc.engine.domain.model import Execution, QueueState, Schedule, Task, Worker
    from jobsvc.engine.domain.worker import Place
    from svckit.actor import Actor

TEXT = "text/plain; charset=utf-8"

# A Struct has floats only. Up to here, each whole number is one of them.
_LARGEST_WHOLE = 2**53
VERDICTS: Mapping[Verdict, work_pb2.Verdict.ValueType] = MappingProxyType(
    {
        Verdict.GO_ON: work_pb2.VERDICT_GO_ON,
        Verdict.STOP: work_pb2.VERDICT_STOP,
        Verdict.LOST: work_pb2.VERDICT_LOST,
    }
)
"""What a worker is told about a run, as a message."""
_OUTCOMES: Mapping[int, RunOutcome] = MappingProxyType(
    {
        work_pb2.OUTCOME_SUCCESS: RunOutcome.SUCCESS,
        work_pb2.OUTCOME_ERROR: RunOutcome.ERROR,
        work_pb2.OUTCOME_FINAL_ERROR: RunOutcome.FINAL_ERROR,
        work_pb2.OUTCOME_STOPPED: RunOutcome.STOPPED,
    }
)


def to_document(struct: Struct) -> dict[str, object]:
    """Reads a JSON object. Whole numbers become int."""
    return {name: _to_value(value) for name, value in struct.fields.items()}


def from_document(document: Mapping[str, object]) -> Struct:
    """Writes a JSON object."""
    struct = Struct()
    struct.update(cast("Mapping[str, Any]", document))
    return struct


def _to_value(value: Value) -> object:
    match value.WhichOneof("kind"):
        case "struct_value":
            return to_document(value.struct_value)
        case "list_value":
            return [_to_value(each) for each in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _LARGEST_WHOLE else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def from_execution(execution: Execution) -> execution_pb2.Execution:
    """Writes an execution."""
    counts = execution.counts
    return execution_pb2.Execution(
        id=execution.id,
        kind=execution.kind,
        vendor_id=execution.vendor_id,
        status=execution.status,
        status_message=execution.status_message,
        metrics=execution_pb2.ExecutionMetrics(
            task_count=counts.total,
            success_task_count=counts.success,
            error_task_count=counts.error,
            pending_task_count=counts.pending,
            running_task_count=counts.running,
            scheduled_task_count=counts.scheduled,
            stopped_task_count=counts.stopped,
        ),
        trigger=execution.trigger,
        extra_attributes=from_document(execution.extra_attributes),
        parameters=from_document(execution.parameters),
        operator=from_actor(execution.operator),
        start_time=from_time(execution.start_time),
        end_time=from_time(execution.end_time),
        update_time=from_time(execution.update_time),
        stop_requested=execution.stop_requested,
        schedule_id=execution.schedule_id or 0,
    )


def from_task(task: Task) -> task_pb2.Task:
    """Writes a task."""
    progress = task.progress
    return task_pb2.Task(
        id=task.id,
        execution_id=task.execution_id,
        kind=task.kind,
        status=task.status,
        status_message=task.status_message,
        run_count=task.run,
        extra_attributes=from_document(task.extra_attributes),
        create_time=from_time(task.create_time),
        update_time=from_time(task.update_time),
        start_time=from_time(task.start_time),
        end_time=from_time(task.end_time),
        due_time=from_time(task.due_time),
        priority=task.priority,
        failure_count=task.failures,
        loss_count=task.losses,
        progress=None
        if progress is None
        else task_pb2.TaskProgress(done=progress.done, total=progress.total, text=progress.text),
        check_in=task.check_in,
        check_in_time=from_time(task.check_in_time),
        stop_requested=task.stop_requested,
        worker_id=task.worker_id,
    )


def from_schedule(schedule: Schedule, now: datetime) -> schedule_pb2.Schedule:
    """Writes a schedule, with its next times after now."""
    return schedule_pb2.Schedule(
        id=schedule.id,
        kind=schedule.kind,
        vendor_id=schedule.vendor_id,
        cron=schedule.cron,
        cron_type=schedule.cron_type,
        parameters=from_document(schedule.parameters),
        update_time=from_time(schedule.update_time),
        last_time=from_time(schedule.last_time),
        next_times=[from_time(time) for time in next_times(schedule.cron, now)],
    )


def from_queue(queue: QueueState, now: datetime) -> job_queue_pb2.JobQueue:
    """Writes a queue."""
    waited = 0.0 if queue.oldest_time is None else (now - queue.oldest_time).total_seconds()
    return job_queue_pb2.JobQueue(
        kind=queue.kind,
        pending_count=queue.pending,
        latency_seconds=max(int(waited), 0),
        paused=queue.paused,
        running_count=queue.running,
    )


def from_pool(worker: Worker) -> worker_pool_pb2.WorkerPool:
    """Writes a worker."""
    return worker_pool_pb2.WorkerPool(
        pid=worker.pid,
        id=worker.id,
        start_time=from_time(worker.start_time),
        heartbeat_time=from_time(worker.heartbeat_time),
        concurrency=worker.concurrency,
        host=worker.host,
        kinds=worker.kinds,
    )


def from_place(place: Place) -> worker_pool_pb2.Worker:
    """Writes a place of a worker."""
    written = worker_pool_pb2.Worker(id=place.id, pool_id=place.pool_id)
    if (task := place.task) is not None:
        written.job_name = task.kind
        written.job_id = str(task.id)
        written.check_in = task.check_in
        if task.start_time is not None:
            written.start_time.CopyFrom(from_time(task.start_time))
        if task.check_in_time is not None:
            written.check_in_time.CopyFrom(from_time(task.check_in_time))
    return written


def from_log(log: bytes) -> HttpBody:
    """Writes a whole log."""
    return HttpBody(content_type=TEXT, data=log)


def from_claimed(task: Task, operator: Actor, lease: timedelta) -> work_pb2.ClaimedTask:
    """Writes a task for the worker that has claimed it."""
    return work_pb2.ClaimedTask(
        task_id=task.id,
        run=task.run,
        execution_id=task.execution_id,
        kind=task.kind,
        vendor_id=task.vendor_id,
        parameters=from_document(task.parameters),
        failure_count=task.failures,
        lease_end_time=from_time(task.lease_end_time),
        lease_seconds=lease.total_seconds(),
        operator=from_actor(operator),
    )


def to_reports(reports: Sequence[work_pb2.TaskReport]) -> list[Report]:
    """Reads reports."""
    return [
        Report(
            task_id=report.task_id,
            run=report.run,
            progress=Progress(done=report.progress.done, total=report.progress.total, text=report.progress.text)
            if report.HasField("progress")
            else None,
            check_in=report.check_in if report.HasField("check_in") else None,
        )
        for report in reports
    ]


def from_verdict(report: Report, verdict: Verdict) -> work_pb2.TaskVerdict:
    """Writes the answer to a report."""
    return work_pb2.TaskVerdict(task_id=report.task_id, run=report.run, verdict=VERDICTS[verdict])


def to_pieces(pieces: Sequence[work_pb2.TaskLogPiece]) -> list[LogPiece]:
    """Reads pieces of logs."""
    return [
        LogPiece(task_id=piece.task_id, position=LogPosition(piece.run, piece.sequence), text=piece.text)
        for piece in pieces
    ]


def to_results(results: Sequence[work_pb2.TaskResult]) -> list[RunResult]:
    """Reads the ends of runs.

    Raises:
        DomainError: BAD_REQUEST; one has no outcome, a task is named twice, or a time is not one.
    """
    if len({result.task_id for result in results}) < len(results):
        raise Invalid.of_field("results", "must name each task once")
    return [_to_result(result) for result in results]


def _to_result(result: work_pb2.TaskResult) -> RunResult:
    outcome = _OUTCOMES.get(result.outcome)
    if outcome is None:
        raise Invalid.of_field("results.outcome", "must be set")
    return RunResult(
        task_id=result.task_id,
        run=result.run,
        outcome=outcome,
        message=result.message,
        extra_attributes=to_document(result.extra_attributes),
        execution_extra_attributes=to_document(result.execution_extra_attributes),
        new_tasks=[_to_new_task(task) for task in result.new_tasks],
    )


def _to_new_task(task: work_pb2.NewTask) -> NewTask:
    return NewTask(
        kind=task.kind,
        parameters=to_document(task.parameters),
        extra_attributes=to_document(task.extra_attributes),
        priority=task.priority if task.HasField("priority") else None,
        due_time=to_time(task.due_time, "new_tasks.due_time") if task.HasField("due_time") else None,
    )
