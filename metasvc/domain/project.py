"""Projects: the row made at the first need, the fence, and the deletion that spans two services."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from metasvc.domain.model import ChangeKind, Project, ProjectState
from svckit.access.actor import Actor, ChangeOrigin
from svckit.change import Change
from svckit.errors import DomainError, NotFound, Precondition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from metasvc.domain.model import ProjectUsage
    from metasvc.domain.ports import Ports
    from metasvc.domain.unit import UnitOfWork

T = TypeVar("T")


# Longer than a deletion takes that nothing interrupts: until then it is left to the caller, whose name the log gets.
_INTERRUPTED_AFTER = timedelta(seconds=20)
_OURSELVES = ChangeOrigin(Actor("service", name="metasvc"))


class _NoRowError(Exception):
    """The project has no row yet."""


async def in_project(ports: Ports, project_id: int, work: Callable[[UnitOfWork, datetime], Awaitable[T]]) -> T:
    """Does a write in a project that is held open until the write has ended, making the project's row if need be.

    Args:
        ports: authsvc is asked where the project has no row; never within a unit of work.
        project_id: the project.
        work: commits its unit itself. It may be done again from its beginning.

    Raises:
        DomainError: PROJECT_UNKNOWN; there is no such project, or it is being deleted. And what `work` raises.
    """

    async def attempt() -> T:
        async with ports.store.write() as unit:
            row = await unit.projects.lock_open(project_id)
            if row is None:
                raise _NoRowError
            if row.state is not ProjectState.ACTIVE:
                raise NotFound("PROJECT_UNKNOWN", "the project is being deleted, or was")
            return await work(unit, ports.clock())

    try:
        return await ports.store.repeat(attempt)
    except _NoRowError:
        await make_row(ports, project_id)
        return await ports.store.repeat(attempt)


async def make_row(ports: Ports, project_id: int) -> Project:
    """Makes the row of a project with its initial quota, or finds the one that is there.

    Raises:
        DomainError: PROJECT_UNKNOWN.
    """
    name, quota_bytes = await ports.directory.look_up(project_id)

    async def attempt() -> Project:
        async with ports.store.write() as unit:
            now = ports.clock()
            namesake = await unit.projects.lock_named(name)
            if namesake is not None and namesake.id != project_id and namesake.state is ProjectState.DELETING:
                # authsvc gives a name again once it has deleted whoever had it.
                await _mark_deleted(unit, namesake, _OURSELVES, now)
            await unit.projects.add(
                Project(project_id, name, ProjectState.ACTIVE, quota_bytes, 0, create_time=now, update_time=now)
            )
            row = await unit.projects.get(project_id)
            if row is None:
                raise DomainError("INTERNAL", f"project {project_id} has no row after it was made")
            await unit.commit()
            return row

    return await ports.store.repeat(attempt)


async def delete_project(ports: Ports, project_id: int, origin: ChangeOrigin) -> None:
    """Deletes an empty project here and in authsvc. A repeat goes on where an earlier attempt ended.

    The row is made first where there is none: a fence needs something to stand on, or a push that began before the
    deletion could make the row after it.

    Raises:
        DomainError: PROJECT_UNKNOWN, or PROJECT_NOT_EMPTY; nothing is fenced then.
    """

    async def fence() -> bool:
        async with ports.store.write() as unit:
            row = await unit.projects.lock_closed(project_id)
            if row is None:
                return False
            if row.state is ProjectState.ACTIVE:
                if await unit.projects.has_repository(project_id):
                    raise Precondition("PROJECT_NOT_EMPTY", "the project holds repositories: delete them first")
                await unit.projects.fence(project_id, ports.clock())
                await unit.commit()
            return True

    if not await ports.store.repeat(fence):
        await make_row(ports, project_id)
        await ports.store.repeat(fence)
    await _end(ports, project_id, origin)


async def finish_deletions(ports: Ports) -> None:
    """Brings to their end the deletions that were interrupted after the fence.

    Whoever asked for one cannot always repeat it: once authsvc has forgotten the project, nobody may delete it any
    more, and without this the change log would never tell that it is gone.

    Raises:
        DomainError: UNAVAILABLE where authsvc cannot be reached.
    """
    async with ports.store.read() as unit:
        interrupted = await unit.projects.fenced(ports.clock() - _INTERRUPTED_AFTER)
    for project_id in interrupted:
        await _end(ports, project_id, _OURSELVES)


async def _end(ports: Ports, project_id: int, origin: ChangeOrigin) -> None:
    """Ends the deletion of a project that is fenced."""
    # Between the units, and in none of them: a transaction must not wait for another service. When this process ends
    # here, the fence stays, and the next attempt finds it.
    await ports.directory.delete(project_id)

    async def mark_deleted() -> None:
        async with ports.store.write() as unit:
            row = await unit.projects.lock_closed(project_id)
            if row is None or row.state is ProjectState.DELETED:
                return
            await _mark_deleted(unit, row, origin, ports.clock())
            await unit.commit()

    await ports.store.repeat(mark_deleted)


async def _mark_deleted(unit: UnitOfWork, project: Project, origin: ChangeOrigin, now: datetime) -> None:
    await unit.projects.mark_deleted(project.id, now)
    unit.record(
        Change(
            kind=ChangeKind.PROJECT_DELETE,
            origin=origin,
            time=now,
            project_id=project.id,
            resource_id=project.id,
            resource_name=project.name,
        )
    )


async def is_deletable(ports: Ports, project_id: int) -> bool:
    """Tells whether a project could be deleted now."""
    async with ports.store.read() as unit:
        return not await unit.projects.has_repository(project_id)


async def list_usages(ports: Ports, project_ids: Sequence[int]) -> list[ProjectUsage]:
    """Counts what projects store; those that were never used are left out."""
    if not project_ids:
        return []
    async with ports.store.read() as unit:
        return await unit.projects.usages(project_ids)
