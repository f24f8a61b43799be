"""Harbor's older request to create a robot of a project: full names of resources, and a moment of expiry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from authsvc.domain.grant import Access, AskedGrant, Effect
from authsvc.domain.permission import Permission
from authsvc.domain.project import look_up_project
from authsvc.domain.robot import FOR_EVER, NewRobot
from authsvc.domain.robot_change import create_robot
from svckit.errors import FieldViolation, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Requester
    from authsvc.domain.robot import NewSecret
    from svckit.access.decision import ProjectKey

PROPOSED_DURATION = 0
NEVER = -1

_MAXIMUM_DAYS = 36500  # of the contract

_RESOURCE = re.compile(r"/project/(?P<project_id>[0-9]{1,19})/(?P<name>[a-z-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class AskedAccess:
    """One entry of the request: a resource by its full name, such as "/project/1/repository"."""

    resource: str
    action: str
    effect: Effect = ""


@dataclass(frozen=True, slots=True)
class AskedProjectRobot:
    """The robot that the request asks for.

    Attributes:
        name: the short name.
        accesses: what it may do in its project.
        description: free text.
        expire_time_unix_seconds: when it expires; NEVER, or PROPOSED_DURATION for the duration of the configuration.
    """

    name: str
    accesses: tuple[AskedAccess, ...]
    description: str = ""
    expire_time_unix_seconds: int = PROPOSED_DURATION


async def create_project_robot(
    ports: Ports, requester: Requester, project: ProjectKey, asked: AskedProjectRobot
) -> NewSecret:
    """Creates a robot of a project.

    Harbor ignores the moment of expiry. Here it counts.

    Raises:
        DomainError: as `create_robot`; BAD_REQUEST, also for a resource of another project, and for a moment that is
            over or too far away.
    """
    if project.id is not None:
        project_id = await ports.robot_access.check_id(project.id, "create")
    else:
        project_id = await ports.robot_access.check_named(project.name or "", "create")
    name = (await look_up_project(ports, project_id, None)).name
    accesses = frozenset(_accesses(project_id, name, asked.accesses))
    grants = (AskedGrant("project", name, accesses),)
    # The configuration allows more days than a robot may have, as Harbor's does.
    proposed_days = min(ports.configuration.values.robot_token_duration_days, _MAXIMUM_DAYS)
    expire_time, days = _expiry(asked.expire_time_unix_seconds, ports.clock(), proposed_days)
    return await create_robot(
        ports,
        requester,
        NewRobot("project", asked.name, grants, asked.description, duration_days=days, stated_expire_time=expire_time),
        chosen_secret="",
    )


def _accesses(project_id: int, project: str, asked: Iterable[AskedAccess]) -> Iterable[Access]:
    for access in asked:
        match = _RESOURCE.fullmatch(access.resource)
        if match is None or int(match["project_id"]) != project_id:
            # As in Harbor, whose text this is. Escaped, because a client may write any characters.
            action, resource = ascii(access.action)[1:-1], ascii(access.resource)[1:-1]
            raise Invalid(
                message=f"{action} action of {resource} resource not exist in project {project}",
                violations=[FieldViolation("access", f"names {resource}, which is not in the project")],
            )
        yield Access(Permission(match["name"], access.action), access.effect)


def _expiry(stated: int, now: datetime, proposed_days: int) -> tuple[datetime | None, int]:
    """When the robot expires, if that was said, and for how many days it is valid; a begun day counts."""
    if stated == NEVER:
        return None, FOR_EVER
    if stated == PROPOSED_DURATION:
        return None, proposed_days
    expire_time = datetime.fromtimestamp(stated, UTC)
    days = -((now - expire_time) // timedelta(days=1))
    if not 1 <= days <= _MAXIMUM_DAYS:
        raise Invalid(
            message="bad request error expires_at input: it must be in the future, and at most 100 years away",
            violations=[FieldViolation("expire_time_unix_seconds", "is over, or more than 100 years away")],
        )
    return expire_time, days
