"""Conditions on what robots were given, for queries on projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, not_, or_

from authsvc.store.tables import project, robot_permission, robot_wide_permission

if TYPE_CHECKING:
    from sqlalchemy import BindParameter, ColumnElement

    from authsvc.domain.permission import Permission

DENY = "deny"
PROJECT_KIND = "project"
SYSTEM_KIND = "system"


def robot_gives(robot_id: BindParameter[int] | int, permission: Permission) -> ColumnElement[bool]:
    """Whether the robot was given a permission in a row's project, or in every project."""
    return or_(
        exists().where(_in_row_project(robot_id), _is(robot_permission.c, permission, denied=False)),
        exists().where(_in_every_project(robot_id), _is(robot_wide_permission.c, permission, denied=False)),
    )


def robot_denies(robot_id: BindParameter[int] | int, permission: Permission) -> ColumnElement[bool]:
    """Whether the robot is denied a permission in a row's project, or in every project."""
    return or_(
        exists().where(_in_row_project(robot_id), _is(robot_permission.c, permission, denied=True)),
        exists().where(_in_every_project(robot_id), _is(robot_wide_permission.c, permission, denied=True)),
    )


def is_given_project(robot_id: BindParameter[int] | int) -> ColumnElement[bool]:
    """Whether the robot was given anything in a row's project, or in every project."""
    return or_(
        exists().where(_in_row_project(robot_id), robot_permission.c.effect != DENY),
        exists().where(_in_every_project(robot_id), robot_wide_permission.c.effect != DENY),
    )


def everywhere(robot_id: BindParameter[int] | int, permission: Permission) -> ColumnElement[bool]:
    """Whether the robot was given a permission in every project, and is denied it in none."""
    return and_(
        exists().where(_in_every_project(robot_id), _is(robot_wide_permission.c, permission, denied=False)),
        not_(exists().where(_in_every_project(robot_id), _is(robot_wide_permission.c, permission, denied=True))),
        not_(exists().where(robot_permission.c.robot_id == robot_id, _is(robot_permission.c, permission, denied=True))),
    )


def _in_row_project(robot_id: BindParameter[int] | int) -> ColumnElement[bool]:
    return and_(robot_permission.c.robot_id == robot_id, robot_permission.c.project_id == project.c.id)


def _in_every_project(robot_id: BindParameter[int] | int) -> ColumnElement[bool]:
    return and_(robot_wide_permission.c.robot_id == robot_id, robot_wide_permission.c.kind == PROJECT_KIND)


def _is(columns: Any, permission: Permission, *, denied: bool) -> ColumnElement[bool]:
    effect = columns.effect == DENY if denied else columns.effect != DENY
    return and_(columns.resource == permission.resource, columns.action == permission.action, effect)
