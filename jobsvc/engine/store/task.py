"""The rows of tasks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select, union_all

from jobsvc.engine.domain.model import Head, Progress, Task
from jobsvc.engine.domain.status import TaskCounts, TaskStatus
from jobsvc.engine.store.row_values import write_rows
from jobsvc.engine.store.tables import task
from svckit.sql.selection import Columns, count_rows, read_page

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from jobsvc.engine.domain.model import Report, TaskRow
    from svckit.listing import Selection
    from svckit.query import Clause

_COLUMNS: Columns = {"id": task.c.id, "kind": task.c.kind, "status": task.c.status}
_WRITTEN = (
    "status",
    "status_message",
    "extra_attributes",
    "due_time",
    "queue_time",
    "run",
    "failures",
    "losses",
    "worker_id",
    "claim_key",
    "lease_end_time",
    "stop_requested",
    "start_time",
    "end_time",
    "update_time",
)
_REPORTED = ("lease_end_time", "progress_done", "progress_total", "progress_text", "check_in", "check_in_time")
_ALL = select(task)
_GET = _ALL.where(task.c.id == bindparam("task_id"))
_OF_EXECUTION = _ALL.where(task.c.execution_id == bindparam("execution_id"))
_BY_ID = _ALL.where(task.c.id.in_(bindparam("ids", expanding=True))).order_by(task.c.id)
_RUNNING = task.c.status == TaskStatus.RUNNING
_UNFINISHED = task.c.status.in_([TaskStatus.PENDING, TaskStatus.SCHEDULED, TaskStatus.RUNNING])
_QUEUE = (task.c.priority, task.c.id)


class SqlTasks:
    """See `domain.rows.TaskRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, task_id: int) -> Task | None:
        """See the port."""
        row = (await self._conn.execute(_GET, {"task_id": task_id})).one_or_none()
        return None if row is None else _task(row)

    async def page(self, execution_id: int, selection: Selection) -> list[Task]:
        """See the port."""
        rows = await read_page(self._conn, _OF_EXECUTION, _COLUMNS, selection, values={"execution_id": execution_id})
        return [_task(row) for row in rows]

    async def count(self, execution_id: int, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _OF_EXECUTION, _COLUMNS, clauses, values={"execution_id": execution_id})

    async def add(self, rows: Sequence[TaskRow], now: datetime) -> None:
        """See the port."""
        await self._conn.execute(insert(task), [_new_values(row, now) for row in rows])

    async def heads(self, kinds: Collection[str], limit: int) -> list[Head]:
        """See the port."""
        if not kinds:
            return []
        # One short walk along the index for each queue, so that the cost does not depend on how much waits.
        columns = (task.c.kind, task.c.id, task.c.priority, task.c.queue_time)
        queues = [
            select(
                select(*columns)
                .where(task.c.status == TaskStatus.PENDING, task.c.kind == kind)
                .order_by(*_QUEUE)
                .limit(limit)
                .subquery(f"queue_{number}")
            )
            for number, kind in enumerate(sorted(kinds))
        ]
        rows = (await self._conn.execute(union_all(*queues))).all()
        heads = [Head(kind=row.kind, id=row.id, priority=row.priority, queue_time=row.queue_time) for row in rows]
        return sorted(heads, key=lambda head: (head.kind, head.priority, head.id))

    async def running(self) -> Mapping[str, int]:
        """See the port."""
        counted = select(task.c.kind, func.count().label("tasks")).where(_RUNNING).group_by(task.c.kind)
        return {row.kind: row.tasks for row in (await self._conn.execute(counted)).all()}

    async def running_of(self, worker_id: str, limit: int) -> list[Task]:
        """See the port."""
        return await self._tasks(_ALL.where(*_running_in(worker_id)).order_by(task.c.id).limit(limit))

    async def claimed(self, worker_id: str, claim_key: str) -> list[Task]:
        """See the port."""
        return await self._tasks(_ALL.where(*_running_in(worker_id), task.c.claim_key == claim_key).order_by(*_QUEUE))

    async def states(self, task_ids: Collection[int]) -> list[Task]:
        """See the port."""
        return await self._tasks(_BY_ID, ids=sorted(task_ids)) if task_ids else []

    async def lock(self, task_ids: Collection[int]) -> list[Task]:
        """See the port."""
        return await self._tasks(_BY_ID.with_for_update(key_share=True), ids=sorted(task_ids)) if task_ids else []

    async def lock_pending(self, kind: str, limit: int) -> list[Task]:
        """See the port."""
        waiting = _ALL.where(task.c.status == TaskStatus.PENDING, task.c.kind == kind)
        return await self._free(waiting.order_by(*_QUEUE), limit)

    async def lock_due(self, now: datetime, limit: int) -> list[Task]:
        """See the port."""
        return await self._free(_ALL.where(*_due(now)).order_by(task.c.due_time), limit)

    async def lock_lost(self, now: datetime, limit: int) -> list[Task]:
        """See the port."""
        return await self._free(_ALL.where(*_lost(now)).order_by(task.c.lease_end_time), limit)

    async def lock_unfinished(self, execution_id: int, limit: int) -> list[Task]:
        """See the port."""
        unfinished = _ALL.where(task.c.execution_id == execution_id, _UNFINISHED, ~task.c.stop_requested)
        return await self._tasks(unfinished.order_by(task.c.id).limit(limit).with_for_update(key_share=True))

    async def lock_running(self, worker_id: str, limit: int) -> list[Task]:
        """See the port."""
        running = _ALL.where(*_running_in(worker_id), ~task.c.stop_requested)
        return await self._tasks(running.order_by(task.c.id).limit(limit).with_for_update(key_share=True))

    async def has_due(self, now: datetime) -> bool:
        """See the port."""
        return await self._conn.scalar(select(task.c.id).where(*_due(now)).limit(1)) is not None

    async def has_lost(self, now: datetime) -> bool:
        """See the port."""
        return await self._conn.scalar(select(task.c.id).where(*_lost(now)).limit(1)) is not None

    async def count_statuses(self, execution_ids: Collection[int]) -> Mapping[int, TaskCounts]:
        """See the port."""
        counted = (
            select(task.c.execution_id, task.c.status, func.count().label("tasks"))
            .where(task.c.execution_id.in_(list(execution_ids)))
            .group_by(task.c.execution_id, task.c.status)
        )
        found: dict[int, dict[str, int]] = defaultdict(dict)
        for row in (await self._conn.execute(counted)).all():
            found[row.execution_id][TaskStatus(row.status).name.lower()] = row.tasks
        return {execution_id: TaskCounts(**counts) for execution_id, counts in found.items()}

    async def write(self, tasks: Collection[Task]) -> None:
        """See the port."""
        await write_rows(self._conn, task, _WRITTEN, [_changed_values(each) for each in tasks])

    async def write_reports(
        self, worker_id: str, reports: Sequence[Report], now: datetime, lease_end_times: Mapping[int, datetime]
    ) -> set[int]:
        """See the port."""
        by_task = {report.task_id: report for report in reports}
        held = [
            each
            for each in await self.lock(by_task)
            if each.status is TaskStatus.RUNNING and each.worker_id == worker_id and each.run == by_task[each.id].run
        ]
        if held:
            rows = [_reported_values(each, by_task[each.id], lease_end_times[each.id], now) for each in held]
            await write_rows(self._conn, task, _REPORTED, rows)
        return {each.id for each in held}

    async def _tasks(self, query: Select[Any], **values: object) -> list[Task]:
        return [_task(row) for row in (await self._conn.execute(query, values)).all()]

    async def _free(self, query: Select[Any], limit: int) -> list[Task]:
        """Locks rows that no other unit has locked, so that replicas do not wait for each other."""
        return await self._tasks(query.limit(limit).with_for_update(key_share=True, skip_locked=True))


def _running_in(worker_id: str) -> tuple[ColumnElement[bool], ...]:
    return (_RUNNING, task.c.worker_id == worker_id) if worker_id else (_RUNNING,)


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return task.c.status == TaskStatus.SCHEDULED, task.c.due_time <= now


def _lost(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _RUNNING, task.c.lease_end_time <= now


def _new_values(row: TaskRow, now: datetime) -> dict[str, Any]:
    return {
        "execution_id": row.execution_id,
        "kind": row.kind,
        "vendor_id": row.vendor_id,
        "priority": row.priority,
        "status": row.status,
        "status_message": "",
        "parameters": dict(row.parameters),
        "extra_attributes": dict(row.extra_attributes),
        "due_time": row.due_time,
        "queue_time": now,
        "run": 0,
        "failures": 0,
        "losses": 0,
        "maximum_failures": row.maximum_failures,
        "worker_id": "",
        "claim_key": "",
        "lease_end_time": None,
        "stop_requested": row.status is TaskStatus.STOPPED,
        "progress_done": None,
        "progress_total": 0,
        "progress_text": "",
        "check_in": "",
        "check_in_time": None,
        "log_bytes": 0,
        "create_time": now,
        "start_time": None,
        "end_time": now if row.status.is_final else None,
        "update_time": now,
    }


def _changed_values(each: Task) -> dict[str, Any]:
    return {"id": each.id, **{name: getattr(each, name) for name in _WRITTEN}, "status": each.status.value}


def _reported_values(each: Task, report: Report, lease_end_time: datetime, now: datetime) -> dict[str, Any]:
    progress = report.progress or each.progress
    return {
        "id": each.id,
        "lease_end_time": lease_end_time,
        "progress_done": None if progress is None else progress.done,
        "progress_total": 0 if progress is None else progress.total,
        "progress_text": "" if progress is None else progress.text,
        "check_in": each.check_in if report.check_in is None else report.check_in,
        "check_in_time": each.check_in_time if report.check_in is None else now,
    }


def _task(row: Row[Any]) -> Task:
    progress = None
    if row.progress_done is not None:
        progress = Progress(done=row.progress_done, total=row.progress_total, text=row.progress_text)
    return Task(
        id=row.id,
        execution_id=row.execution_id,
        kind=row.kind,
        vendor_id=row.vendor_id,
        priority=row.priority,
        status=TaskStatus(row.status),
        status_message=row.status_message,
        parameters=row.parameters,
        extra_attributes=row.extra_attributes,
        due_time=row.due_time,
        queue_time=row.queue_time,
        run=row.run,
        failures=row.failures,
        losses=row.losses,
        maximum_failures=row.maximum_failures,
        worker_id=row.worker_id,
        claim_key=row.claim_key,
        lease_end_time=row.lease_end_time,
        stop_requested=row.stop_requested,
        progress=progress,
        check_in=row.check_in,
        check_in_time=row.check_in_time,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        update_time=row.update_time,
    )
