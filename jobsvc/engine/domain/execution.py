"""Reads, lists and deletes executions, and lists their tasks."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from jobsvc.engine.domain.model import Execution, Task
from svckit.errors import NotFound, Precondition
from svckit.listing import Listing, SortKey
from svckit.query import Key, Order

if TYPE_CHECKING:
    from jobsvc.engine.domain.ports import EnginePorts
    from svckit.listing import ListRequest, Page

EXECUTIONS: Listing[Execution] = Listing(
    "executions",
    MappingProxyType(
        {
            "id": SortKey(int, lambda row: row.id),
            "start_time": SortKey(datetime, lambda row: row.start_time),
        }
    ),
    (Order("id", descending=True),),
    keys=MappingProxyType(
        {
            "id": Key("id", int),
            "vendor_type": Key("kind"),
            "vendor_id": Key("vendor_id", int),
            "status": Key("status"),
            "trigger": Key("trigger"),
            "start_time": Key("start_time", datetime),
        }
    ),
)

TASKS: Listing[Task] = Listing(
    "tasks",
    MappingProxyType({"id": SortKey(int, lambda row: row.id)}),
    (Order("id"),),
    keys=MappingProxyType({"id": Key("id", int), "vendor_type": Key("kind"), "status": Key("status")}),
)


async def get_execution(ports: EnginePorts, execution_id: int) -> Execution:
    """Reads an execution.

    Raises:
        DomainError: NOT_FOUND.
    """
    async with ports.store.read() as unit:
        execution = await unit.executions.get(execution_id)
    if execution is None:
        raise _unknown(execution_id)
    return execution


async def list_executions(ports: EnginePorts, request: ListRequest) -> Page[Execution]:
    """Lists executions, the newest first by default.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        return await EXECUTIONS.page(request, unit.executions.page, unit.executions.count)


async def delete_execution(ports: EnginePorts, execution_id: int) -> None:
    """Deletes an execution with its tasks and their logs.

    Raises:
        DomainError: NOT_FOUND; PRECONDITION, it has not ended.
    """

    async def work() -> None:
        async with ports.store.write() as unit:
            found = await unit.executions.lock([execution_id])
            if not found:
                raise _unknown(execution_id)
            if not found[0].status.is_final:
                raise Precondition(message=f"execution {execution_id} has not ended: stop it first")
            await unit.executions.remove([execution_id])
            await unit.commit()

    await ports.store.repeat(work)


async def get_task(ports: EnginePorts, task_id: int) -> Task:
    """Reads a task.

    Raises:
        DomainError: NOT_FOUND.
    """
    async with ports.store.read() as unit:
        task = await unit.tasks.get(task_id)
    if task is None:
        raise NotFound(message=f"task {task_id} not found")
    return task


async def list_tasks(ports: EnginePorts, execution_id: int, request: ListRequest) -> Page[Task]:
    """Lists the tasks of an execution, by id by default.

    Raises:
        DomainError: NOT_FOUND, there is no such execution; BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        if await unit.executions.get(execution_id) is None:
            raise _unknown(execution_id)
        return await TASKS.page(
            request,
            lambda selection: unit.tasks.page(execution_id, selection),
            lambda clauses: unit.tasks.count(execution_id, clauses),
            scope=(execution_id,),
        )


def _unknown(execution_id: int) -> NotFound:
    return NotFound(message=f"execution {execution_id} not found")
