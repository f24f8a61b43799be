"""Starts executions: from a capability, by hand, or by a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.domain.document import check_document
from jobsvc.engine.domain.model import NewExecution, NewTask, TaskRow
from jobsvc.engine.domain.status import ExecutionStatus, TaskStatus, Trigger
from jobsvc.engine.domain.transition import Transition
from svckit.errors import DomainError, Invalid
from svckit.idempotency import made_is_gone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobsvc.engine.domain.kind import Kinds
    from jobsvc.engine.domain.model import Execution
    from jobsvc.engine.domain.ports import EnginePorts
    from jobsvc.engine.domain.rows import UnitOfWork
    from svckit.actor import Actor
    from svckit.idempotency import IdempotencyKey


async def start_execution(
    ports: EnginePorts, *, kind: str, parameters: Mapping[str, object], operator: Actor, key: IdempotencyKey | None
) -> Execution:
    """Starts an execution of a kind by hand.

    Args:
        ports: the ports of the engine.
        kind: the name of the kind, in upper or lower case.
        parameters: its parameters, which the kind checks.
        operator: who starts it.
        key: makes repeats safe.

    Raises:
        DomainError: BAD_REQUEST; CONFLICT, as `enqueue`.
    """
    found = ports.kinds.named(kind, "kind")
    if not found.may_be_started:
        raise Invalid.of_field("kind", f"{found.name} cannot be started by hand")
    checked = found.check_parameters(check_document(parameters, "parameters"))
    new = NewExecution(
        kind=found.name,
        vendor_id=found.vendor_id,
        trigger=Trigger.MANUAL,
        parameters=checked,
        tasks=(NewTask(parameters=checked),),
        operator=operator,
    )
    return await enqueue(ports, new, key=key)


async def enqueue(ports: EnginePorts, new: NewExecution, *, key: IdempotencyKey | None = None) -> Execution:
    """Starts an execution with its tasks, in a unit of work of its own.

    Args:
        ports: the ports of the engine.
        new: the execution.
        key: a repeat with the same key starts nothing, and returns what the first call has started, as it is now.

    Raises:
        DomainError: CONFLICT if the key was used for something else, or if what the first call started was deleted.
        KeyError: there is no such kind.
    """

    async def work() -> Execution:
        now = ports.clock()
        async with ports.store.write() as unit:
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                made = await unit.executions.get(first.made_id)
                if made is None:
                    raise made_is_gone()
                return made
            execution_id = await add_execution(unit, ports.kinds, new, now)
            made = None if execution_id is None else await unit.executions.get(execution_id)
            if made is None:
                raise DomainError("CONFLICT", "the schedule has started an execution for this time")
            await unit.idempotency.remember(key, made.id)
            await unit.commit()
        return made

    execution = await ports.store.repeat(work)
    if execution.counts.pending:
        await ports.announce({task.kind or new.kind for task in new.tasks})
    return execution


async def add_execution(unit: UnitOfWork, kinds: Kinds, new: NewExecution, now: datetime) -> int | None:
    """Adds an execution with its tasks in the caller's unit of work. Announce its kinds after the commit.

    Returns:
        Its id; None if its schedule has fired for this time already.

    Raises:
        KeyError: there is no such kind.
    """
    if kinds.get(new.kind) is None:
        raise KeyError(new.kind)
    # Without tasks there is nothing to wait for.
    status = ExecutionStatus.RUNNING if new.tasks else ExecutionStatus.SUCCESS
    execution_id = await unit.executions.add(new, status, now)
    if execution_id is not None and new.tasks:
        transition = Transition(unit, now)
        transition.add(task_rows(kinds, execution_id, new.kind, new.vendor_id, new.tasks, now))
        await transition.write()
    return execution_id


def task_rows(
    kinds: Kinds,
    execution_id: int,
    kind: str,
    vendor_id: int,
    tasks: Sequence[NewTask],
    now: datetime,
    *,
    is_stopped: bool = False,
) -> list[TaskRow]:
    """The rows of new tasks.

    Args:
        kinds: all kinds.
        execution_id: their execution.
        kind: the kind of the execution, or of the task that adds them.
        vendor_id: the execution's.
        tasks: the tasks.
        now: the time of the unit.
        is_stopped: whether somebody has asked for the execution to stop. Then they are Stopped from the beginning.

    Raises:
        DomainError: BAD_REQUEST, there is no such kind.
    """
    rows = []
    for task in tasks:
        found = kinds.named(task.kind or kind, "new_tasks.kind")
        due = None if task.due_time is None or task.due_time <= now else task.due_time
        status = TaskStatus.STOPPED if is_stopped else TaskStatus.PENDING if due is None else TaskStatus.SCHEDULED
        rows.append(
            TaskRow(
                execution_id=execution_id,
                kind=found.name,
                vendor_id=vendor_id,
                priority=found.priority if task.priority is None else task.priority,
                status=status,
                parameters=check_document(task.parameters, "new_tasks.parameters"),
                extra_attributes=check_document(task.extra_attributes, "new_tasks.extra_attributes"),
                due_time=due if status is TaskStatus.SCHEDULED else None,
                maximum_failures=found.maximum_failures,
            )
        )
    return rows
