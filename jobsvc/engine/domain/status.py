"""The statuses of tasks and executions, as in Harbor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TaskStatus(StrEnum):
    """The status of a task."""

    PENDING = "Pending"
    """It waits in its queue."""
    SCHEDULED = "Scheduled"
    """It waits for its time, after a failure or because that was asked for."""
    RUNNING = "Running"
    SUCCESS = "Success"
    ERROR = "Error"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended."""
        return self in _FINAL


_FINAL = frozenset({TaskStatus.SUCCESS, TaskStatus.ERROR, TaskStatus.STOPPED})


class ExecutionStatus(StrEnum):
    """The status of an execution."""

    RUNNING = "Running"
    SUCCESS = "Success"
    ERROR = "Error"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        """Whether the execution has ended."""
        return self is not ExecutionStatus.RUNNING


class Trigger(StrEnum):
    """Why an execution was started."""

    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCounts:
    """How many tasks an execution has, by status."""

    pending: int = 0
    scheduled: int = 0
    running: int = 0
    success: int = 0
    error: int = 0
    stopped: int = 0

    @property
    def total(self) -> int:
        """All tasks."""
        return self.unfinished + self.success + self.error + self.stopped

    @property
    def unfinished(self) -> int:
        """The tasks that have not ended."""
        return self.pending + self.scheduled + self.running

    def moved(self, gone: TaskStatus | None, come: TaskStatus | None) -> TaskCounts:
        """The counts after one task has gone from one status to another; None for a task that is made or deleted."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        if gone is not None:
            counts[gone.name.lower()] -= 1
        if come is not None:
            counts[come.name.lower()] += 1
        return TaskCounts(**counts)


def execution_status(counts: TaskCounts) -> ExecutionStatus:
    """The status of an execution with these tasks. It has at least one task; others get their status directly.

    The order is Harbor's: as long as one task has not ended it is Running; then an error counts more than a stop.
    """
    if counts.unfinished:
        return ExecutionStatus.RUNNING
    if counts.error:
        return ExecutionStatus.ERROR
    if counts.stopped:
        return ExecutionStatus.STOPPED
    return ExecutionStatus.SUCCESS
