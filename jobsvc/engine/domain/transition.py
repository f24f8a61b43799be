"""Writes the changes of tasks together with what follows for their executions, in one unit of work.

Every change of a task's status goes through here. So the counts of an execution always are those of its tasks, and its
status is the one that they give it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobsvc.engine.domain.document import merged
from jobsvc.engine.domain.status import ExecutionStatus, TaskStatus, execution_status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.model import Execution, Task, TaskRow
    from jobsvc.engine.domain.rows import UnitOfWork


@dataclass(slots=True)
class Transition:
    """Changes of tasks that belong together.

    Attributes:
        unit: the unit of work.
        now: its time.
    """

    unit: UnitOfWork
    now: datetime
    _changed: dict[int, tuple[Task, Task]] = field(default_factory=dict)
    _added: list[TaskRow] = field(default_factory=list)
    _attributes: dict[int, Mapping[str, object]] = field(default_factory=dict)

    def change(self, old: Task, new: Task) -> None:
        """Changes a locked task. `new` gets the time of the unit as its update time."""
        self._changed[old.id] = (old, replace(new, update_time=self.now))

    def add(self, rows: Collection[TaskRow]) -> None:
        """Adds tasks to an execution."""
        self._added += rows

    def set_attributes(self, execution_id: int, attributes: Mapping[str, object]) -> None:
        """Sets or replaces attributes of an execution."""
        if attributes:
            self._attributes[execution_id] = merged(self._attributes.get(execution_id, {}), attributes)

    async def write(self) -> None:
        """Writes everything. The unit still has to be committed."""
        moves: dict[int, list[tuple[TaskStatus | None, TaskStatus]]] = defaultdict(list)
        for old, new in self._changed.values():
            if old.status is not new.status:
                moves[old.execution_id].append((old.status, new.status))
        for row in self._added:
            moves[row.execution_id].append((None, row.status))
        if self._changed:
            await self.unit.tasks.write([new for _, new in self._changed.values()])
        touched = moves.keys() | self._attributes.keys()
        executions = await self.unit.executions.lock(touched) if touched else []
        if self._added:
            await self.unit.tasks.add(self._added, self.now)
        if executions:
            await self.unit.executions.write([self._moved(each, moves[each.id]) for each in executions])

    def _moved(self, execution: Execution, moves: Sequence[tuple[TaskStatus | None, TaskStatus]]) -> Execution:
        counts = execution.counts
        for gone, come in moves:
            counts = counts.moved(gone, come)
        return settled(
            replace(
                execution,
                counts=counts,
                extra_attributes=merged(execution.extra_attributes, self._attributes.get(execution.id, {})),
            ),
            self.now,
        )


def settled(execution: Execution, now: datetime) -> Execution:
    """An execution with the status that its counts give it, and the times that follow."""
    status = execution_status(execution.counts) if execution.counts.total else execution.status
    if status is ExecutionStatus.RUNNING:
        end_time = None
    elif execution.status is ExecutionStatus.RUNNING or execution.end_time is None:
        end_time = now
    else:
        end_time = execution.end_time
    return replace(execution, status=status, end_time=end_time, update_time=now)


def ended(task: Task, status: TaskStatus, now: datetime, message: str = "") -> Task:
    """A task that has ended."""
    return replace(
        task, status=status, status_message=message, end_time=now, due_time=None, lease_end_time=None, update_time=now
    )


def queued(task: Task, now: datetime) -> Task:
    """A task that waits in its queue again. Its last worker has no say in it any more."""
    return replace(
        task,
        status=TaskStatus.PENDING,
        due_time=None,
        queue_time=now,
        worker_id="",
        claim_key="",
        lease_end_time=None,
        update_time=now,
    )
