"""Accounts for programs, with permissions of their own, and how they are read.

`robot_change` holds what changes them.
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
_MAXIMUM_DESCRIPTION_CHARACTERS = 1024
_MAXIMUM_DAYS = 36500

_LEVEL = "level"
_PROJECT_ID = "project_id"


_LISTING: Listing[Robot] = Listing(
    name="robots",
    sort_keys={
        "name": SortKey(str, lambda robot: robot.name),
        "creation_time": SortKey(datetime, lambda robot: robot.create_time),
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
    """What a robot may do, in one project.

    Attributes:
        project: its name.
        permissions: what it may do there.

    Raises:
        DomainError: BAD_REQUEST; no permission, or one that robots cannot have.
    """

    project: str
    permissions: frozenset[Permission]

    def __post_init__(self) -> None:
        check_robot_permissions(self.permissions)


@dataclass(frozen=True, slots=True)
class NewRobot:
    """A robot to be created, in the project that its grant names.

    Attributes:
        name: the short one.
        grant: what it may do.
        description: free text.
        duration_days: how long it lives; -1 for ever.
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
            refuse("name", "has lower-case letters and digits, with single '.', '_' or '-' between them")
        _check_description(self.description)
        _check_duration(self.duration_days)


@dataclass(frozen=True, slots=True)
class RobotChange:
    """What to change of a robot; None leaves as it is.

    Attributes:
        grant: of the robot's own project; replaces all its permissions.
        description: free text.
        duration_days: from its creation; -1 for ever.
        disabled: may not log in.
        name: must be the robot's own, short or in full, where it is not empty.
        etag: of the robot that was read; empty to change whatever is there.

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
        if self.description is not None:
            _check_description(self.description)
        if self.duration_days is not None:
            _check_duration(self.duration_days)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A robot with the secret that was just made for it. It is shown once, and not kept."""

    robot: Robot
    secret: str = field(repr=False)


async def get_robot(ports: Ports, robot_id: int) -> Robot:
    """Reads a robot.

    Raises:
        DomainError: ROBOT_UNKNOWN, also for one that the caller may not read.
    """
    return await permitted_robot(ports, robot_id, "read")


async def list_robots(ports: Ports, request: ListRequest, project_id: int | None, project_name: str) -> Page[Robot]:
    """Lists the robots of one project: the one given, or the one that `q` names by `ProjectID`.

    Without a project, or with `Level=system`, it lists the robots of the system level. Those come with a later
    release, so there are none; who may not list them hears that.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED; BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    query = parse_query(request.q, _LISTING.keys)
    level = query.exact(_LEVEL)
    if level not in (None, "project", "system"):
        refuse("q", "Level is project or system")
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
    """The robot, if the caller may do this to it. To who may not read it, it is not there."""
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
    """When a robot ends that lives so long from its creation; None for never."""
    return None if duration_days == FOR_EVER else create_time + timedelta(days=duration_days)


def refuse(name: str, description: str) -> NoReturn:
    """Refuses a request for what is wrong with one of its fields."""
    raise Invalid(message=f"{name} {description}", violations=[FieldViolation(name, description)])


def _check_description(description: str) -> None:
    if len(description) > _MAXIMUM_DESCRIPTION_CHARACTERS or "\0" in description:
        refuse("description", f"has {_MAXIMUM_DESCRIPTION_CHARACTERS} characters at most")


def _check_duration(days: int) -> None:
    if days != FOR_EVER and not 1 <= days <= _MAXIMUM_DAYS:
        refuse("duration", f"is -1 for ever, or 1 to {_MAXIMUM_DAYS} days")
