"""Robots: accounts for programs, with permissions of their own, and how to read them.

`robot_change` creates and changes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from authsvc.domain.model import Robot
from authsvc.domain.permission import Permission, check_robot_permissions
from svckit.errors import Denied, FieldViolation, Invalid, NotFound
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.query import Clause, Exact, Form, Key, Order, parse_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authsvc.domain.bundle import Ports

FOR_EVER = -1
"""The duration of a robot that does not expire."""

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MAXIMUM_NAME_CHARACTERS = 255

_LEVEL = "level"
_PROJECT_ID = "project_id"


_LISTING: Listing[Robot] = Listing(
    name="robots",
    sort_keys={
        "name": SortKey(str, lambda robot: robot.name),
        "creation_time": SortKey(datetime, lambda robot: robot.create_time),
        "update_time": SortKey(datetime, lambda robot: robot.update_time),
        "id": SortKey(int, lambda robot: robot.id),
    },
    default_order=(Order("name"),),
    keys={
        "Level": Key(_LEVEL),
        "ProjectID": Key(_PROJECT_ID, int, frozenset({Form.EXACT})),
        "project_id": Key(_PROJECT_ID, int, frozenset({Form.EXACT})),
        "name": Key("name"),
    },
)


@dataclass(frozen=True, slots=True)
class ProjectGrant:
    """What a robot may do in one project.

    Attributes:
        project: its name.
        permissions: what it may do there.

    Raises:
        DomainError: BAD_REQUEST; there is no permission, or one that robots cannot have.
    """

    project: str
    permissions: frozenset[Permission]

    def __post_init__(self) -> None:
        check_robot_permissions(self.permissions)


@dataclass(frozen=True, slots=True)
class NewRobot:
    """A robot to be created, in the project that its grant names.

    Attributes:
        name: the short name.
        grant: what it may do.
        description: free text.
        duration_days: how long it is valid; -1 for ever.
        disabled: may not log in.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    name: str
    grant: ProjectGrant
    description: str = ""
    duration_days: int = FOR_EVER
    disabled: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= _MAXIMUM_NAME_CHARACTERS or not _NAME.fullmatch(self.name):
            refuse("name", "must have lower-case letters and digits, with single '.', '_' or '-' between them")
        _check_duration(self.duration_days)


@dataclass(frozen=True, slots=True)
class RobotChange:
    """What to change of a robot; None keeps the value.

    Attributes:
        grant: permissions in the robot's own project, which replace all that it has.
        description: free text.
        duration_days: how long it is valid from its creation; -1 for ever.
        disabled: may not log in.
        name: empty, or the robot's own short or full name.
        etag: the etag of the robot that was read; empty to change any state.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    grant: ProjectGrant | None = None
    description: str | None = None
    duration_days: int | None = None
    disabled: bool | None = None
    name: str = ""
    etag: str = ""

    def __post_init__(self) -> None:
        if self.duration_days is not None:
            _check_duration(self.duration_days)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A robot with its new secret. The secret is shown once and is not stored."""

    robot: Robot
    secret: str = field(repr=False)


async def get_robot(ports: Ports, robot_id: int) -> Robot:
    """Reads a robot.

    Raises:
        DomainError: ROBOT_UNKNOWN, also for a robot that the caller may not read.
    """
    return await permitted_robot(ports, robot_id, "read")


async def list_robots(ports: Ports, request: ListRequest, project_id: int | None, project_name: str) -> Page[Robot]:
    """Lists the robots of one project: of the given project, or of the one that `q` names with `ProjectID`.

    Without a project, or with `Level=system`, it lists the robots of the system level. This release has no such robots,
    so the list is empty. A caller that may not list them is refused all the same.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED; BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    query = parse_query(request.q, _LISTING.keys)
    level = query.exact(_LEVEL)
    if level not in (None, "project", "system"):
        refuse("q", "Level must be project or system")
    if project_id is not None:
        project_id = await ports.robot_access.check_id(project_id, "list")
    elif project_name:
        project_id = await ports.robot_access.check_named(project_name, "list")
    elif level != "system" and isinstance(stated := query.exact(_PROJECT_ID), int):
        project_id = await ports.robot_access.check_id(stated, "list")
    if project_id is None or level == "system":
        await ports.robot_access.check_system("list")
        return Page(())

    def within(clauses: Sequence[Clause]) -> tuple[Clause, ...]:
        return (Exact(_PROJECT_ID, project_id), *(clause for clause in clauses if clause.key != _LEVEL))

    async with ports.store.read() as unit:
        return await _LISTING.page(
            request,
            lambda selection: unit.robots.page(replace(selection, clauses=within(selection.clauses))),
            lambda clauses: unit.robots.count(within(clauses)),
            scope=(project_id,),
        )


async def permitted_robot(ports: Ports, robot_id: int, action: str) -> Robot:
    """The robot, if the caller may do `action` to robots of its project.

    Raises:
        DomainError: FORBIDDEN; ROBOT_UNKNOWN, also for a caller that may not read the robot; UNAUTHORIZED.
    """
    ports.robot_access.require_identity()
    async with ports.store.read() as unit:
        robot = await unit.robots.get(robot_id)
    if robot is None:
        raise NotFound("ROBOT_UNKNOWN")
    try:
        await ports.robot_access.check_id(robot.project_id, action)
    except (Denied, NotFound) as refusal:
        if action == "read" or not await _may_read(ports, robot.project_id):
            raise NotFound("ROBOT_UNKNOWN") from None
        raise refusal from None
    return robot


async def _may_read(ports: Ports, project_id: int) -> bool:
    try:
        await ports.robot_access.check_id(project_id, "read")
    except (Denied, NotFound):
        return False
    return True


def expire_time(create_time: datetime, duration_days: int) -> datetime | None:
    """When a robot of this creation time and duration expires; None for never."""
    return None if duration_days == FOR_EVER else create_time + timedelta(days=duration_days)


def refuse(name: str, description: str) -> NoReturn:
    """Refuses a request because of one of its fields."""
    raise Invalid(message=f"{name} {description}", violations=[FieldViolation(name, description)])


def _check_duration(days: int) -> None:
    if days == 0:
        refuse("duration_days", "must be -1 for ever, or at least 1")
