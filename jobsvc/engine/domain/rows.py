"""The ports of rows, the units of work that have them, and the store that gives out units.

Every unit locks rows in the same order, so that units cannot deadlock: workers, queues, schedules, tasks by id,
executions by id, pieces of logs. A row that a `lock…` method returns cannot be changed by others until the unit ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from jobsvc.engine.domain.model import (
        Execution,
        Head,
        LogPiece,
        LogPosition,
        NewExecution,
        QueueState,
        Report,
        Schedule,
        Task,
        TaskRow,
        Worker,
    )
    from jobsvc.engine.domain.status import ExecutionStatus, TaskCounts
    from svckit.idempotency import IdempotencyRows
    from svckit.listing import Selection
    from svckit.query import Clause

T = TypeVar("T")


class ExecutionRows(Protocol):
    """The rows of executions."""

    async def get(self, execution_id: int) -> Execution | None:
        """Reads an execution."""

    async def page(self, selection: Selection) -> list[Execution]:
        """Reads a page."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def states(self, execution_ids: Collection[int]) -> list[Execution]:
        """Reads executions by id, not locked."""

    async def lock(self, execution_ids: Collection[int]) -> list[Execution]:
        """Reads executions by id, locked."""

    async def add(self, new: NewExecution, status: ExecutionStatus, now: datetime) -> int | None:
        """Adds an execution without tasks, and returns its id; None if its schedule has fired for this time already."""

    async def write(self, executions: Collection[Execution]) -> None:
        """Writes what can change of locked executions: status, message, counts, attributes, times, stop_requested."""

    async def remove(self, execution_ids: Collection[int]) -> int:
        """Deletes locked executions with their tasks and logs. Returns how many tasks there were."""

    async def lock_beyond(self, kind: str, kept: int, limit: int) -> list[int]:
        """Locks the oldest ended executions of a kind that are not among the newest `kept` of their object."""

    async def kinds(self) -> list[str]:
        """The kinds of all executions."""

    async def has_running(self, schedule_id: int) -> bool:
        """Whether an execution that this schedule has started has not ended."""

    async def miscounted(self, limit: int) -> list[int]:
        """The ids of executions that are Running although none of their tasks is unfinished, or the other way round."""


class TaskRows(Protocol):
    """The rows of tasks."""

    async def get(self, task_id: int) -> Task | None:
        """Reads a task."""

    async def page(self, execution_id: int, selection: Selection) -> list[Task]:
        """Reads a page of an execution's tasks."""

    async def count(self, execution_id: int, clauses: Sequence[Clause]) -> int:
        """Counts all of an execution's tasks that match."""

    async def add(self, rows: Sequence[TaskRow], now: datetime) -> None:
        """Adds tasks."""

    async def heads(self, kinds: Collection[str], limit: int) -> list[Head]:
        """The first Pending tasks of each of these kinds, by priority and then by id; not locked."""

    async def running(self) -> Mapping[str, int]:
        """How many tasks run, by kind."""

    async def running_of(self, worker_id: str, limit: int) -> list[Task]:
        """The tasks that run in a worker; of all workers if the id is empty."""

    async def claimed(self, worker_id: str, claim_key: str) -> list[Task]:
        """The tasks that this claim has taken, and that still run."""

    async def states(self, task_ids: Collection[int]) -> list[Task]:
        """Reads tasks by id, not locked."""

    async def lock(self, task_ids: Collection[int]) -> list[Task]:
        """Reads tasks by id, locked."""

    async def lock_pending(self, kind: str, limit: int) -> list[Task]:
        """Locks the first Pending tasks of a kind. Those that another unit has locked are skipped."""

    async def lock_due(self, now: datetime, limit: int) -> list[Task]:
        """Locks Scheduled tasks whose time has come. Those that another unit has locked are skipped."""

    async def lock_lost(self, now: datetime, limit: int) -> list[Task]:
        """Locks running tasks whose lease has ended. Those that another unit has locked are skipped."""

    async def lock_unfinished(self, execution_id: int, limit: int) -> list[Task]:
        """Locks tasks of an execution that have not ended, and were not asked to stop."""

    async def lock_running(self, worker_id: str, limit: int) -> list[Task]:
        """Locks tasks that run in a worker, and were not asked to stop; of all workers if the id is empty."""

    async def has_due(self, now: datetime) -> bool:
        """Whether there are Scheduled tasks whose time has come."""

    async def has_lost(self, now: datetime) -> bool:
        """Whether there are running tasks whose lease has ended."""

    async def count_statuses(self, execution_ids: Collection[int]) -> Mapping[int, TaskCounts]:
        """How many tasks these executions have, by status: counted anew. Executions without tasks are left out."""

    async def write(self, tasks: Collection[Task]) -> None:
        """Writes what can change of locked tasks, except what reports change."""

    async def write_reports(
        self, worker_id: str, reports: Sequence[Report], now: datetime, lease_end_times: Mapping[int, datetime]
    ) -> set[int]:
        """Writes progress, check-ins and leases of running tasks of this worker, for the reports of their present run.

        Returns:
            The ids of the tasks that were written.
        """


class TaskLogRows(Protocol):
    """The pieces of the logs of tasks."""

    async def add(self, pieces: Sequence[LogPiece], sizes: Mapping[int, int], now: datetime) -> None:
        """Adds pieces to the logs of locked tasks, and writes the sizes of these logs; pieces that are there stay."""

    async def sizes(self, task_ids: Collection[int]) -> Mapping[int, int]:
        """How many bytes the log of each of these tasks has, as they were last written."""

    async def read(self, task_id: int, start: LogPosition, most_bytes: int) -> list[LogPiece]:
        """The pieces from a position on, as many as have so many bytes together, but at least one if there is one."""

    async def remove_before(self, time: datetime, limit: int) -> int:
        """Deletes pieces that were written before this time. Returns how many."""


class QueueRows(Protocol):
    """The rows of queues."""

    async def add_missing(self, kinds: Collection[str], now: datetime) -> None:
        """Adds the rows of these kinds that are not there."""

    async def paused(self) -> frozenset[str]:
        """The queues that are paused."""

    async def set_paused(self, kinds: Collection[str], now: datetime, *, paused: bool) -> None:
        """Pauses or resumes queues."""

    async def lock(self, kinds: Collection[str]) -> None:
        """Locks queues, so that no other unit counts or claims their tasks."""

    async def states(self) -> list[QueueState]:
        """What is in all queues, by kind."""


class ScheduleRows(Protocol):
    """The rows of schedules."""

    async def find(self, kind: str, vendor_id: int) -> Schedule | None:
        """Reads the schedule of an object."""

    async def page(self, selection: Selection) -> list[Schedule]:
        """Reads a page."""

    async def count(self, clauses: Sequence[Clause]) -> int:
        """Counts all that match."""

    async def lock(self, kind: str, vendor_id: int) -> Schedule | None:
        """Reads the schedule of an object, locked."""

    async def is_due(self, now: datetime) -> bool:
        """Whether the time of a schedule has come."""

    async def lock_due(self, now: datetime, limit: int) -> list[Schedule]:
        """Locks schedules whose time has come. Those that another unit has locked are skipped."""

    async def add(self, schedule: Schedule) -> int | None:
        """Adds a schedule and returns its id; None if the object has one. Its own id is ignored."""

    async def set_times(self, schedule_id: int, *, next_time: datetime | None, last_time: datetime | None) -> None:
        """Writes the times of a locked schedule."""

    async def remove(self, schedule_id: int) -> None:
        """Deletes a schedule."""


class WorkerRows(Protocol):
    """The rows of workers."""

    async def get(self, worker_id: str) -> Worker | None:
        """Reads a worker."""

    async def lock(self, worker_id: str) -> None:
        """Locks a worker, so that no other unit claims tasks for it."""

    async def alive(self, since: datetime, limit: int) -> list[Worker]:
        """The workers that were heard of since then, the oldest first."""

    async def places(self, since: datetime) -> int:
        """How many places all workers have together that were heard of since then."""

    async def put(self, worker: Worker) -> None:
        """Adds or replaces a worker."""

    async def beat(self, worker_id: str, now: datetime) -> None:
        """Writes that a worker was heard of."""

    async def remove(self, worker_id: str) -> None:
        """Deletes a worker."""

    async def remove_silent(self, since: datetime, limit: int) -> int:
        """Deletes workers that were not heard of since then. Returns how many."""


class Unit(Protocol):
    """A unit that reads."""

    @property
    def executions(self) -> ExecutionRows:
        """Executions."""

    @property
    def tasks(self) -> TaskRows:
        """Tasks."""

    @property
    def logs(self) -> TaskLogRows:
        """Logs of tasks."""

    @property
    def queues(self) -> QueueRows:
        """Queues."""

    @property
    def schedules(self) -> ScheduleRows:
        """Schedules."""

    @property
    def workers(self) -> WorkerRows:
        """Workers."""


class UnitOfWork(Unit, Protocol):
    """A unit that writes. Leaving it without a commit rolls back."""

    @property
    def idempotency(self) -> IdempotencyRows:
        """The results of first calls with an idempotency key."""

    async def commit(self) -> None:
        """Commits the unit's changes."""


class Store(Protocol):
    """Gives out units."""

    def read(self) -> AbstractAsyncContextManager[Unit]:
        """A unit that reads."""

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit that writes. No other unit may be begun in it."""

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a whole unit of work, and runs it again if it conflicted with another one."""
