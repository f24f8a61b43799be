"""Projects: their rows, which are made when first needed, and their deletion, which spans two services."""

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


# After this time a deletion counts as interrupted. It is longer than a deletion normally takes, so that a running one
# is finished by its caller, and the change log names that caller.
_INTERRUPTED_AFTER = timedelta(seconds=20)
OWN_ORIGIN = ChangeOrigin(Actor("service", name="metasvc"))
"""The origin of what metasvc does for itself."""

NOT_EMPTY = "the project contains repositories, can not be deleted"
"""Why a project cannot be deleted, in Harbor's words."""


class _NoRowError(Exception):
    """The project has no row yet."""


async def in_project(
    ports: Ports, project_id: int, work: Callable[[UnitOfWork, datetime], Awaitable[T]], *, short: bool = True
) -> T:
    """Runs a write in a project, which cannot be deleted meanwhile. The project's row is made if it is missing.

    Args:
        ports: the ports of metasvc. If there is no row, authsvc is asked, outside of any unit of work.
        project_id: the project.
        work: the write. It commits its unit itself, and may run again from its beginning.
        short: whether it is a short unit (`domain.unit.Store.write`).

    Raises:
        DomainError: PROJECT_UNKNOWN, the project does not exist or is being deleted; and the errors of `work`.
    """

    async def attempt() -> T:
        async with ports.store.write(short=short) as unit:
            row = await unit.projects.lock_open(project_id)
            if row is None:
                raise _NoRowError
            if row.state is not ProjectState.ACTIVE:
                raise NotFound("PROJECT_UNKNOWN", "the project is being deleted or was deleted")
            return await work(unit, ports.clock())

    try:
        return await ports.store.repeat(attempt)
    except _NoRowError:
        await make_row(ports, project_id)
        return await ports.store.repeat(attempt)


async def make_row(ports: Ports, project_id: int) -> Project:
    """Makes the row of a project with its initial quota, or finds an existing one.

    Raises:
        DomainError: PROJECT_UNKNOWN.
    """
    name, quota_bytes = await ports.directory.look_up(project_id)

    async def attempt() -> Project:
        async with ports.store.write() as unit:
            now = ports.clock()
            namesake = await unit.projects.lock_named(name)
            if namesake is not None and namesake.id != project_id and namesake.state is ProjectState.DELETING:
                # authsvc lets a new project use a name once the old project is deleted there. So the old one is gone.
                await mark_deleted(unit, namesake, OWN_ORIGIN, now)
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
    """Deletes an empty project here and in authsvc. A repeat continues an interrupted deletion.

    First the row is marked as being deleted ("fenced"), so that no push can write any more. If there is no row, it is
    made for this mark. Without it, a push that began before the deletion could make the row afterwards.

    Raises:
        DomainError: PROJECT_UNKNOWN; PROJECT_NOT_EMPTY. The project is not marked then.
    """

    async def fence() -> bool:
        async with ports.store.write() as unit:
            row = await unit.projects.lock_closed(project_id)
            if row is None:
                return False
            if row.state is ProjectState.ACTIVE:
                if await unit.projects.has_repository(project_id):
                    raise Precondition("PROJECT_NOT_EMPTY", NOT_EMPTY)
                await unit.projects.fence(project_id, ports.clock())
                await unit.commit()
            return True

    if not await ports.store.repeat(fence):
        await make_row(ports, project_id)
        await ports.store.repeat(fence)
    await _end(ports, project_id, origin)


async def finish_deletions(ports: Ports) -> None:
    """Finishes deletions that were interrupted after the project was fenced.

    A caller cannot always repeat a deletion: once authsvc has deleted the project, nobody has a right in it any more.
    Without this, the change log would never record that the project is gone.

    Raises:
        DomainError: UNAVAILABLE; authsvc cannot be reached.
    """
    async with ports.store.read() as unit:
        interrupted = await unit.projects.fenced(ports.clock() - _INTERRUPTED_AFTER)
    for project_id in interrupted:
        await _end(ports, project_id, OWN_ORIGIN)


async def _end(ports: Ports, project_id: int, origin: ChangeOrigin) -> None:
    """Finishes the deletion of a fenced project."""
    # Between two units of work, because a transaction must not wait for another service. If this process ends here, the
    # project stays fenced, and the next attempt continues.
    await ports.directory.delete(project_id)

    async def mark() -> None:
        async with ports.store.write() as unit:
            row = await unit.projects.lock_closed(project_id)
            if row is None or row.state is ProjectState.DELETED:
                return
            await mark_deleted(unit, row, origin, ports.clock())
            await unit.commit()

    await ports.store.repeat(mark)


async def mark_deleted(unit: UnitOfWork, project: Project, origin: ChangeOrigin, now: datetime) -> None:
    """Marks an empty project as deleted, and records it. The caller has locked it, and commits."""
    # Nothing puts one of them on an artifact meanwhile, because the project has no repositories.
    await unit.labels.remove_of(project.id)
    await unit.immutable_rules.remove_of(project.id)
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
    """Whether a project could be deleted now."""
    async with ports.store.read() as unit:
        return not await unit.projects.has_repository(project_id)


async def list_usages(ports: Ports, project_ids: Sequence[int]) -> list[ProjectUsage]:
    """The usage of projects. Projects that were never used are left out."""
    if not project_ids:
        return []
    async with ports.store.read() as unit:
        return await unit.projects.usages(project_ids)
