"""All kinds of callers, and what each of them holds by the tables that are written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tests.access.matrix import MATRIX, PUBLIC, ROBOT_IN_PROJECT, ROBOT_ON_SYSTEM, ROLES, Pair
from tests.harness.workspace import BUILDER_PERMISSIONS

BUILDER = frozenset((each["resource"], each["action"]) for each in BUILDER_PERMISSIONS)


@dataclass(frozen=True)
class RobotKind:
    """A kind of robot.

    Attributes:
        level: of the robot.
        where: the namespace of its permissions: the project that the test is about, every project, another project, or
            the system level.
        held: its permissions there.
        maker: the kind of robot that creates it; empty for an administrator.
    """

    level: Literal["project", "system"]
    where: Literal["project", "everywhere", "elsewhere", "system"]
    held: frozenset[Pair]
    maker: str = ""


ROBOTS: Mapping[str, RobotKind] = MappingProxyType(
    {
        "robot": RobotKind("project", "project", BUILDER),
        "robot with everything": RobotKind("project", "project", ROBOT_IN_PROJECT),
        "robot with little": RobotKind("project", "project", frozenset({("log", "list")})),
        "robot by robot": RobotKind("project", "project", BUILDER, maker="robot with everything"),
        "robot of every project": RobotKind("system", "everywhere", ROBOT_IN_PROJECT),
        "robot of one project": RobotKind("system", "project", BUILDER),
        "robot of another project": RobotKind("system", "elsewhere", ROBOT_IN_PROJECT),
        "robot of the system": RobotKind("system", "system", ROBOT_ON_SYSTEM),
    }
)

BY_GROUP = {f"{role} by group": role for role in ROLES}
"""Users who have a role because a group that they are in has it."""

CALLERS = ("anonymous", "outsider", *ROLES, "sysadmin", "robot")
"""The usual ones."""
EVERY_CALLER = (*CALLERS, *BY_GROUP, *(name for name in ROBOTS if name not in CALLERS))

EXPIRED, DISABLED = "expired robot", "disabled robot"
"""Robots that had all permissions of a project, and tokens, before they ended."""


def is_person(caller: str) -> bool:
    """Whether it is a user."""
    return caller != "anonymous" and caller not in ROBOTS


def held_in_project(caller: str, kind: str) -> frozenset[Pair]:
    """What a caller other than an administrator may do in the private or the public project."""
    open_to_all = MATRIX[PUBLIC] if kind == "public" else frozenset()
    robot = ROBOTS.get(caller)
    if robot is not None:
        return open_to_all | (robot.held if robot.where in ("project", "everywhere") else frozenset())
    return open_to_all | MATRIX.get(BY_GROUP.get(caller, caller), frozenset())


def held_on_system(caller: str) -> frozenset[Pair]:
    """What a caller other than an administrator may do on the system level."""
    if is_person(caller):
        return frozenset({("project", "create")})
    robot = ROBOTS.get(caller)
    return robot.held if robot is not None and robot.where == "system" else frozenset()
