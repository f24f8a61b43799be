"""Robots: accounts for programs, with permissions of their own, and how to read them.

`robot_change` creates and changes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.model import Robot
from authsvc.domain.permission import ROBOT_PROJECT_PERMISSIONS, SYSTEM_PERMISSIONS, Permission
from svckit.errors import Denied, FieldViolation, Invalid, NotFound
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.query import AnyOf, Clause, Exact, Form, Key, Order, parse_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authsvc.domain.bundle import Ports
    from authsvc.domain.grant import AskedGrant, Kind
    from authsvc.domain.model import Identity
    from svckit.access.decision import ProjectKey
    from svckit.listing import Selection

FOR_EVER = -1
"""The duration of a robot that does not expire."""

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MAXIMUM_NAME_CHARACTERS = 255

SYSTEM_LEVEL = 0
"""In place of a project's id: the robot belongs to the system level."""

_CREATE_ROBOT = Permission("robot", "create")
_LEVEL = "level"
_SCOPE_ID = "scope_id"


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
        "Level": Key(_LEVEL, str, frozenset({Form.EXACT})),
        "ProjectID": Key(_SCOPE_ID, int, frozenset({Form.EXACT})),
        "project_id": Key(_SCOPE_ID, int, frozenset({Form.EXACT})),
        "name": Key("name"),
        "id": Key("id", int),
        "description": Key("description"),
        "disabled": Key("disabled", bool),
        "duration": Key("duration_days", int),
        "creator_ref": Key("creator_id", int),
        "creation_time": Key("creation_time", datetime),
        "update_time": Key("update_time", datetime),
    },
)


@dataclass(frozen=True, slots=True)
class NewRobot:
    """A robot to be created.

    Attributes:
        level: "project" for a robot of the one project that its grant names, or "system".
        name: the short name.
        grants: what it may do; one for each scope.
        description: free text.
        duration_days: how long it is valid; -1 for ever.
        disabled: may not log in.
        stated_expire_time: when it expires, if that is not at the end of its last day.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    level: Kind
    name: str
    grants: tuple[AskedGrant, ...]
    description: str = ""
    duration_days: int = FOR_EVER
    disabled: bool = False
    stated_expire_time: datetime | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= _MAXIMUM_NAME_CHARACTERS or not _NAME.fullmatch(self.name):
            raise Invalid.of_field(
                "name", "must have lower-case letters and digits, with single '.', '_' or '-' between them"
            )
        check_level(self.level, self.grants)
        _check_duration(self.duration_days)


@dataclass(frozen=True, slots=True)
class RobotChange:
    """What to change of a robot; None keeps the value.

    Attributes:
        grants: one for each scope. They replace all that the robot has.
        description: free text.
        duration_days: how long it is valid from its creation; -1 for ever.
        disabled: may not log in.
        name: the robot's own full name, which cannot change; None if the caller does not repeat it.
        level: the robot's own level; None if the caller does not repeat it.
        etag: the etag of the robot that was read; empty to change any state.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    grants: tuple[AskedGrant, ...] | None = None
    description: str | None = None
    duration_days: int | None = None
    disabled: bool | None = None
    name: str | None = None
    level: str | None = None
    etag: str = ""

    def __post_init__(self) -> None:
        if self.duration_days is not None:
            _check_duration(self.duration_days)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A robot with its new secret. The secret is shown once and is not stored."""

    robot: Robot
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The permissions that robots may be given.

    Attributes:
        project: in a project, or in every project.
        system: on the system level; none for a caller that may not create robots there.
    """

    project: frozenset[Permission]
    system: frozenset[Permission] = frozenset()


async def list_catalogue(ports: Ports, identity: Identity) -> Catalogue:
    """The permissions that robots may be given, for callers that may create robots somewhere.

    In Harbor these are administrators of the system or of a project. Here robots that create robots belong to them.

    Raises:
        DomainError: FORBIDDEN, UNAUTHORIZED.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        project_id = None if caller.is_administrator else await unit.roles.any_project(caller, _CREATE_ROBOT)
        # Before there is a project, a robot may hold the permission for all that will be.
        is_everywhere = project_id is None and await unit.roles.everywhere(caller, _CREATE_ROBOT)
    try:
        await ports.robot_access.check_system("create")
    except Denied:
        if project_id is not None:
            await ports.robot_access.check_id(project_id, "create")
        elif is_everywhere:
            await ports.robot_access.held_everywhere()
        else:
            raise
        return Catalogue(ROBOT_PROJECT_PERMISSIONS)
    return Catalogue(ROBOT_PROJECT_PERMISSIONS, SYSTEM_PERMISSIONS)


async def get_robot(ports: Ports, robot_id: int, project: ProjectKey | None = None) -> Robot:
    """Reads a robot.

    Args:
        ports: the ports of authsvc.
        robot_id: the robot's id.
        project: the project that it must belong to; None for any robot.

    Raises:
        DomainError: ROBOT_UNKNOWN, also for a robot that the caller may not read.
    """
    return await permitted_robot(ports, robot_id, "read", project)


async def list_robots(ports: Ports, request: ListRequest, project_id: int | None, project_name: str) -> Page[Robot]:
    """Lists the robots of one project: of the given project, or of the one that `q` names with `ProjectID`.

    Without a project, it lists the robots of the system level. As in Harbor, `q` may name a project's robot by
    "library+builder" as well.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED; BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    query = parse_query(request.q, _LISTING.keys)
    level = query.exact(_LEVEL)
    stated = query.exact(_SCOPE_ID)
    if level not in (None, "project", "system"):
        raise Invalid.of_field("q", "Level must be project or system")
    if project_id is not None:
        scope_id = await ports.robot_access.check_id(project_id, "list")
    elif project_name:
        scope_id = await ports.robot_access.check_named(project_name, "list")
    elif level == "system" or not stated:
        # As in Harbor, whose text this is.
        if level == "project":
            raise Invalid(
                message="must with project ID when to query project robots",
                violations=[FieldViolation("q", "has Level=project without ProjectID")],
            )
        await ports.robot_access.check_system("list")
        scope_id = SYSTEM_LEVEL
    else:
        scope_id = await ports.robot_access.check_id(int(str(stated)), "list")
    is_empty = level is not None and (level == "project") != bool(scope_id)

    async with ports.store.read() as unit:
        project = await unit.projects.get(scope_id) if scope_id else None
        prefix = "" if project is None else f"{project.name}+"

        def within(clauses: Sequence[Clause]) -> tuple[Clause, ...]:
            return (
                Exact(_SCOPE_ID, scope_id),
                *(_with_short_name(clause, prefix) for clause in clauses if clause.key != _LEVEL),
            )

        async def fetch(selection: Selection) -> Sequence[Robot]:
            if is_empty:
                return ()
            return await unit.robots.page(replace(selection, clauses=within(selection.clauses)))

        async def count(clauses: tuple[Clause, ...]) -> int:
            return 0 if is_empty else await unit.robots.count(within(clauses))

        return await _LISTING.page(request, fetch, count, scope=(scope_id,))


def _with_short_name(clause: Clause, prefix: str) -> Clause:
    match clause:
        case Exact(key="name", value=str(name)):
            return replace(clause, value=name.removeprefix(prefix))
        case AnyOf(key="name", values=names):
            return replace(clause, values=tuple(str(name).removeprefix(prefix) for name in names))
        case _:
            return clause


async def permitted_robot(ports: Ports, robot_id: int, action: str, project: ProjectKey | None = None) -> Robot:
    """The robot, if the caller may do `action` to robots of its project, or of the system level.

    With a project, a robot that does not belong to it is unknown.

    Raises:
        DomainError: FORBIDDEN; ROBOT_UNKNOWN, also for a caller that may not read the robot; UNAUTHORIZED.
    """
    ports.robot_access.require_identity()
    async with ports.store.read() as unit:
        robot = await unit.robots.get(robot_id)
    if robot is None or not _belongs(robot, project):
        raise NotFound("ROBOT_UNKNOWN")
    try:
        await _check(ports, robot, action)
    except (Denied, NotFound) as refusal:
        if action == "read" or not await _may_read(ports, robot):
            raise NotFound("ROBOT_UNKNOWN") from None
        raise refusal from None
    return robot


def _belongs(robot: Robot, project: ProjectKey | None) -> bool:
    if project is None or robot.level == "system":
        return project is None
    return robot.project_id == project.id if project.name is None else robot.project_name == project.name


async def _may_read(ports: Ports, robot: Robot) -> bool:
    try:
        await _check(ports, robot, "read")
    except (Denied, NotFound):
        return False
    return True


async def _check(ports: Ports, robot: Robot, action: str) -> None:
    if robot.project_id:
        await ports.robot_access.check_id(robot.project_id, action)
    else:
        await ports.robot_access.check_system(action)


def check_level(level: Kind, grants: Sequence[AskedGrant]) -> None:
    """Checks that a robot of this level may have these grants: a project's robot has one, for one project.

    Raises:
        DomainError: BAD_REQUEST.
    """
    if level == "project" and (len(grants) != 1 or not grants[0].names_one_project):
        raise Invalid(
            message="bad request permission: a robot of a project has permissions in that project and no other",
            violations=[FieldViolation("permissions", "do not name exactly one project")],
        )


def expire_time(create_time: datetime, duration_days: int) -> datetime | None:
    """When a robot of this creation time and duration expires; None for never."""
    return None if duration_days == FOR_EVER else create_time + timedelta(days=duration_days)


def _check_duration(days: int) -> None:
    if days == 0:
        # As in Harbor, whose text this is.
        raise Invalid(
            message="bad request error duration input: 0, duration must be either -1(Never) or a positive integer",
            violations=[FieldViolation("duration_days", "must be -1 for ever, or at least 1")],
        )
