"""Keeps metasvc's rows of projects as authsvc's log says.

Nothing relies on it for being right: a write asks authsvc when it meets no row, and a deletion marks the row before it
deletes the project there (`metasvc.domain.project`). It makes rows before they are needed, so that lists have every
project, and finds projects that are gone without metasvc, as after a restore of one of the two databases. All of it may
be done twice, or late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.model import ProjectState
from metasvc.domain.project import OWN_ORIGIN, make_row, mark_deleted
from svckit.errors import DomainError
from svckit.logging import get_logger

if TYPE_CHECKING:
    from metasvc.domain.ports import Ports

_log = get_logger(__name__)


async def note_created(ports: Ports, project_id: int) -> None:
    """Makes the row of a project, unless it has one, or the project is gone again.

    Raises:
        DomainError: UNAVAILABLE.
    """
    async with ports.store.read(short=True) as unit:
        if await unit.projects.get(project_id) is not None:
            return
    try:
        await make_row(ports, project_id)
    except DomainError as error:
        if error.reason != "PROJECT_UNKNOWN":
            raise


async def note_deleted(ports: Ports, project_id: int) -> None:
    """Marks a project as deleted that authsvc does not have, and whose deletion did not begin here.

    A project with repositories stays as it is, so that nothing is lost: an operator has to decide.

    Raises:
        DomainError: UNAVAILABLE.
    """
    async with ports.store.read(short=True) as unit:
        row = await unit.projects.get(project_id)
    # Whoever has fenced it brings the deletion to its end.
    if row is None or row.state is not ProjectState.ACTIVE or await _exists(ports, project_id):
        return

    async def attempt() -> None:
        async with ports.store.write() as unit:
            row = await unit.projects.lock_closed(project_id)
            if row is None or row.state is not ProjectState.ACTIVE:
                return
            if await unit.projects.has_repository(project_id):
                _log.warning("project_is_gone_but_not_empty", project_id=project_id, project=row.name)
                return
            await mark_deleted(unit, row, OWN_ORIGIN, ports.clock())
            await unit.commit()

    await ports.store.repeat(attempt)


async def note_all(ports: Ports) -> None:
    """Compares all rows with the projects of authsvc.

    Raises:
        DomainError: UNAVAILABLE.
    """
    existing = {project_id async for project_id in ports.directory.ids()}
    async with ports.store.read() as unit:
        states = await unit.projects.states()
    for project_id in sorted(existing - states.keys()):
        await note_created(ports, project_id)
    for project_id, state in states.items():
        if state is ProjectState.ACTIVE and project_id not in existing:
            await note_deleted(ports, project_id)


async def _exists(ports: Ports, project_id: int) -> bool:
    try:
        await ports.directory.look_up(project_id)
    except DomainError as error:
        if error.reason != "PROJECT_UNKNOWN":
            raise
        return False
    return True
