"""What a caller may do now, read from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.model import Identity
from authsvc.domain.permission import (
    ANYTHING,
    CREATE_PROJECT,
    PROJECT_ADMIN_ROLE,
    ROBOT_PROJECT_PERMISSIONS,
    SYSTEM_ADMINISTRATOR_ROLE,
    SYSTEM_PERMISSIONS,
    Permission,
)
from svckit.access.decision import NOT_VISIBLE, AccessibleProjects, ProjectDecision
from svckit.errors import Invalid, Unauthenticated

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Caller
    from authsvc.domain.rows import Unit
    from svckit.configuration.values import ProjectCreators

_PROJECT_SCOPE = "/project/"
_SYSTEM_SCOPE = "/system"


@dataclass(frozen=True, slots=True)
class HeldPermission:
    """A permission, with the full name of its resource as in Harbor's answers: "/project/1/repository"."""

    resource: str
    action: str


async def check_project_access(
    ports: Ports,
    identity: Identity | None,
    project_id: int | None,
    project_name: str | None,
    permission: Permission,
) -> ProjectDecision:
    """Whether the caller holds a permission in a project, which is given by id or by name.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
    """
    if project_name is not None and "\0" in project_name:
        # PostgreSQL refuses to look for such a name, and bounds of fields are checked after access.
        return NOT_VISIBLE
    async with ports.store.read(short=True) as unit:
        caller = await identify(unit, identity, ports.clock())
        found = await unit.roles.in_project(caller, project_id, project_name, permission)
    if found is None or not found.visible:
        return NOT_VISIBLE
    return ProjectDecision(found.allowed, visible=True, project_id=found.project_id, project_name=found.project_name)


async def check_subject_access(
    ports: Ports, subject: str, project_id: int | None, project_name: str | None, permission: Permission
) -> bool:
    """Whether the user or robot that a token's subject names holds a permission in a project now.

    A subject that may not log in any more holds none, and neither does an anonymous one.
    """
    identity = Identity.of_subject(subject)
    if identity is None:
        return False
    try:
        return (await check_project_access(ports, identity, project_id, project_name, permission)).allowed
    except Unauthenticated:
        return False


async def check_system_access(ports: Ports, identity: Identity | None, permission: Permission) -> bool:
    """Whether the caller holds a permission on the system level.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
    """
    async with ports.store.read(short=True) as unit:
        caller = await identify(unit, identity, ports.clock())
        if caller.is_administrator:
            return await unit.roles.allows(SYSTEM_ADMINISTRATOR_ROLE, permission)
        return permission in await _system_permissions(
            unit, caller, ports.configuration.values.project_creation_restriction
        )


async def accessible_projects(ports: Ports, identity: Identity | None, permission: Permission) -> AccessibleProjects:
    """The projects in which the caller holds a permission.

    Raises:
        DomainError: UNAUTHORIZED; the caller is disabled, expired or gone.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        if caller.is_administrator and await unit.roles.allows(SYSTEM_ADMINISTRATOR_ROLE, permission):
            return AccessibleProjects(all=True)
        if caller.kind == "robot" and await unit.roles.everywhere(caller, permission):
            return AccessibleProjects(all=True)
        return AccessibleProjects(all=False, project_ids=await unit.roles.project_ids(caller, permission))


async def list_permissions(ports: Ports, identity: Identity, scope: str, *, relative: bool) -> list[HeldPermission]:
    """What the caller may do in the scope; sorted.

    The scope is a project ("/project/1", "/project/library"), or "/system". Nothing is held in a project that does not
    exist or that the caller may not see, and nothing in the empty scope, as in Harbor. With `relative`, the resources
    come without the scope: the project itself is "." instead of "/project/1".

    Raises:
        DomainError: BAD_REQUEST, any other scope; UNAUTHORIZED.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        if not scope:
            return []
        if scope.rstrip("/") == _SYSTEM_SCOPE:
            prefix = _SYSTEM_SCOPE
            creators = ports.configuration.values.project_creation_restriction
            permissions = await _system_permissions(unit, caller, creators)
            if caller.is_administrator:
                permissions = SYSTEM_PERMISSIONS
        else:
            project_id, project_name = _project_of(scope)
            found = await unit.roles.in_project(caller, project_id, project_name, Permission("project", "read"))
            if found is None or not found.visible:
                return []
            prefix = f"{_PROJECT_SCOPE}{found.project_id}"
            permissions = await unit.roles.held(caller, found.project_id)
            if ANYTHING in permissions:
                # Listed one by one, because clients look for the single permission that they need.
                permissions = ROBOT_PROJECT_PERMISSIONS | await unit.roles.permissions(PROJECT_ADMIN_ROLE)
    in_project = prefix != _SYSTEM_SCOPE
    return [
        HeldPermission(
            _named(permission.resource, "" if relative else prefix, in_project=in_project), permission.action
        )
        for permission in sorted(permissions)
    ]


def _named(resource: str, prefix: str, *, in_project: bool) -> str:
    if in_project and resource == "project":
        return prefix or "."
    return f"{prefix}/{resource}" if prefix else resource


async def _system_permissions(unit: Unit, caller: Caller, project_creators: ProjectCreators) -> frozenset[Permission]:
    """What a caller who is not an administrator may do on the system level."""
    if caller.kind == "robot":
        return await unit.roles.on_system(caller)
    if caller.kind == "user" and project_creators == "everyone":
        return frozenset({CREATE_PROJECT})
    return frozenset()


def _project_of(scope: str) -> tuple[int | None, str | None]:
    name = scope.removeprefix(_PROJECT_SCOPE).rstrip("/")
    if not scope.startswith(_PROJECT_SCOPE) or not name or "/" in name:
        raise Invalid.of_field("scope", "must be /project/<id>, /project/<name>, /system or empty")
    if name.isascii() and name.isdigit() and len(name) <= 18:
        return int(name), None
    return None, name
