"""Roles, their permissions, and what callers may do by them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, and_, bindparam, exists, false, not_, or_, select, true, union_all

from authsvc.domain.permission import (
    ANYTHING,
    PUBLIC_ROLE,
    REPOSITORY_ACTIONS,
    SYSTEM_ADMINISTRATOR_ROLE,
    Permission,
    Role,
)
from authsvc.domain.rows import FoundProject, RepositoryActions
from authsvc.store.robot_grant import (
    DENY,
    PROJECT_KIND,
    SYSTEM_KIND,
    everywhere,
    is_given_project,
    robot_denies,
    robot_gives,
)
from authsvc.store.tables import member, project, robot_permission, robot_wide_permission, role, role_permission
from authsvc.store.user_group import GROUPS_OF_CALLER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import ColumnElement, CompoundSelect, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from authsvc.domain.model import Caller

_ROLE = select(role.c.id, role.c.name, role.c.is_assignable).where(role.c.id == bindparam("role_id"))
_OF_ROLE = select(role_permission.c.resource, role_permission.c.action).where(
    role_permission.c.role_id == bindparam("role_id")
)
_REPOSITORY = "repository"
_PULL = Permission(_REPOSITORY, "pull")
# What the role of everybody in public projects (`PUBLIC_ROLE`) allows.
_PUBLIC_ACTIONS = frozenset({_PULL.action})
_ANY = ANYTHING.resource
# The statements for callers of one type differ only in this parameter. So each statement is built once and cached,
# because to build one takes longer than to run it.
_CALLER_ID = bindparam("caller_id", type_=BigInteger)
_IN_PROJECT_OF_ROBOT = union_all(
    select(robot_permission.c.resource, robot_permission.c.action, robot_permission.c.effect).where(
        robot_permission.c.robot_id == _CALLER_ID, robot_permission.c.project_id == bindparam("project_id")
    ),
    select(robot_wide_permission.c.resource, robot_wide_permission.c.action, robot_wide_permission.c.effect).where(
        robot_wide_permission.c.robot_id == _CALLER_ID, robot_wide_permission.c.kind == PROJECT_KIND
    ),
)
_ON_SYSTEM_OF_ROBOT = select(
    robot_wide_permission.c.resource, robot_wide_permission.c.action, robot_wide_permission.c.effect
).where(robot_wide_permission.c.robot_id == _CALLER_ID, robot_wide_permission.c.kind == SYSTEM_KIND)


class _CallerType(NamedTuple):
    """What a statement depends on. A user who is in no group does not pay for groups."""

    kind: str
    is_administrator: bool
    in_groups: bool


class SqlRoles:
    """See `domain.rows.RoleRows`."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def get(self, role_id: int) -> Role | None:
        """See the port."""
        row = (await self._conn.execute(_ROLE, {"role_id": role_id})).one_or_none()
        return None if row is None else Role(row.id, row.name, row.is_assignable)

    async def permissions(self, role_id: int) -> frozenset[Permission]:
        """See the port."""
        rows = await self._conn.execute(_OF_ROLE, {"role_id": role_id})
        return frozenset(Permission(resource, action) for resource, action in rows)

    async def allows(self, role_id: int, permission: Permission) -> bool:
        """See the port."""
        found = _OF_ROLE.where(_is(role_permission.c, permission)).limit(1)
        return (await self._conn.execute(found, {"role_id": role_id})).first() is not None

    async def in_project(
        self, caller: Caller, project_id: int | None, project_name: str | None, permission: Permission
    ) -> FoundProject | None:
        """See the port."""
        query = _in_project(_caller_type(caller), permission, by_name=project_id is None)
        values = {"caller_id": caller.id, "project_id": project_id, "project_name": project_name}
        row = (await self._conn.execute(query, values)).one_or_none()
        if row is None:
            return None
        return FoundProject(row.id, row.name, visible=bool(row.visible), allowed=bool(row.allowed))

    async def held(self, caller: Caller, project_id: int) -> frozenset[Permission]:
        """See the port."""
        if caller.is_administrator:
            return await self.permissions(SYSTEM_ADMINISTRATOR_ROLE)
        held = (
            select(role_permission.c.resource, role_permission.c.action)
            .select_from(role_permission.join(project, _role_applies(_caller_type(caller))))
            .where(project.c.id == project_id)
        )
        rows = (await self._conn.execute(held, {"caller_id": caller.id})).all()
        permissions = frozenset(Permission(resource, action) for resource, action in rows)
        if caller.kind == "robot":
            given, denied = await self._given(_IN_PROJECT_OF_ROBOT, {"caller_id": caller.id, "project_id": project_id})
            permissions = (permissions | given) - denied
        return permissions

    async def on_system(self, caller: Caller) -> frozenset[Permission]:
        """See the port."""
        if caller.kind != "robot":
            return frozenset()
        given, denied = await self._given(_ON_SYSTEM_OF_ROBOT, {"caller_id": caller.id})
        return given - denied

    async def everywhere(self, caller: Caller, permission: Permission) -> bool:
        """See the port."""
        if caller.kind != "robot":
            return False
        return bool(await self._conn.scalar(select(everywhere(_CALLER_ID, permission)), {"caller_id": caller.id}))

    async def _given(
        self, query: CompoundSelect[Any] | Select[Any], values: Mapping[str, int]
    ) -> tuple[frozenset[Permission], frozenset[Permission]]:
        given, denied = set[Permission](), set[Permission]()
        for resource, action, effect in await self._conn.execute(query, values):
            (denied if effect == DENY else given).add(Permission(resource, action))
        return frozenset(given), frozenset(denied)

    async def any_project(self, caller: Caller, permission: Permission) -> int | None:
        """See the port."""
        query = select(project.c.id).where(_is_allowed(_caller_type(caller), permission)).limit(1)
        found: int | None = await self._conn.scalar(query, {"caller_id": caller.id})
        return found

    async def project_ids(self, caller: Caller, permission: Permission) -> frozenset[int]:
        """See the port."""
        query = select(project.c.id).where(_is_allowed(_caller_type(caller), permission))
        return frozenset((await self._conn.scalars(query, {"caller_id": caller.id})).all())

    async def repository_actions(
        self, caller: Caller, project_names: Collection[str]
    ) -> Mapping[str, RepositoryActions]:
        """See the port."""
        values = {"caller_id": caller.id, "project_names": sorted(project_names)}
        found: dict[str, RepositoryActions] = {}
        for row in await self._conn.execute(_repository_actions(_caller_type(caller)), values):
            actions = frozenset(action for action in REPOSITORY_ACTIONS if row._mapping[action])  # noqa: SLF001 - SQLAlchemy's public name for it
            if actions:
                public = _PUBLIC_ACTIONS & actions if row.only_public else frozenset[str]()
                found[row.name] = RepositoryActions(row.id, actions, public)
        return found


def _is(columns: Any, permission: Permission) -> ColumnElement[bool]:
    """Whether a row of permissions is this permission, or the one that includes all."""
    return or_(
        and_(columns.resource == permission.resource, columns.action == permission.action),
        and_(columns.resource == _ANY, columns.action == _ANY),
    )


def _caller_type(caller: Caller) -> _CallerType:
    return _CallerType(caller.kind, caller.is_administrator, caller.in_groups)


@lru_cache(maxsize=512)
def _in_project(caller_type: _CallerType, permission: Permission, *, by_name: bool) -> Select[Any]:
    named = project.c.name == bindparam("project_name") if by_name else project.c.id == bindparam("project_id")
    return select(
        project.c.id,
        project.c.name,
        _is_visible(caller_type).label("visible"),
        _is_allowed(caller_type, permission).label("allowed"),
    ).where(named)


@lru_cache(maxsize=16)
def _repository_actions(caller_type: _CallerType) -> Select[Any]:
    columns = [_is_allowed(caller_type, Permission(_REPOSITORY, action)).label(action) for action in REPOSITORY_ACTIONS]
    # The other way round, most rows would be looked for without need: few projects are public.
    only_public = and_(project.c.public.is_(True), not_(_is_allowed(caller_type, _PULL, by_public=False)))
    return select(project.c.id, project.c.name, *columns, only_public.label("only_public")).where(
        project.c.name.in_(bindparam("project_names", expanding=True)), _is_visible(caller_type)
    )


def _role_applies(caller_type: _CallerType, *, by_public: bool = True) -> ColumnElement[bool]:
    """Whether the role of a row of `role_permission` is one that the caller has in the row's project."""
    ways: list[ColumnElement[bool]] = []
    if by_public:
        ways.append(and_(project.c.public.is_(True), role_permission.c.role_id == PUBLIC_ROLE))
    ways += [
        exists()
        .where(way, member.c.role_id == role_permission.c.role_id)
        # SQLAlchemy correlates only one level by itself. Without this line, the query would read all projects.
        .correlate(project, role_permission)
        for way in _memberships(caller_type)
    ]
    return or_(false(), *ways)


def _memberships(caller_type: _CallerType) -> list[ColumnElement[bool]]:
    """The ways in which a row of `member` can be the caller's in a row's project. Each has an index of its own."""
    if caller_type.kind != "user":
        return []
    of_project = member.c.project_id == project.c.id
    ways = [and_(of_project, member.c.user_id == _CALLER_ID)]
    if caller_type.in_groups:
        ways.append(and_(of_project, member.c.group_id.in_(GROUPS_OF_CALLER)))
    return ways


def _is_allowed(caller_type: _CallerType, permission: Permission, *, by_public: bool = True) -> ColumnElement[bool]:
    """Whether the caller holds a permission in a row's project; perhaps only because it is public."""
    if caller_type.is_administrator:
        return exists().where(
            role_permission.c.role_id == SYSTEM_ADMINISTRATOR_ROLE, _is(role_permission.c, permission)
        )
    applies = _role_applies(caller_type, by_public=by_public)
    by_role = exists().where(_is(role_permission.c, permission), applies).correlate(project)
    if caller_type.kind != "robot":
        return by_role
    return and_(or_(by_role, robot_gives(_CALLER_ID, permission)), not_(robot_denies(_CALLER_ID, permission)))


def _is_visible(caller_type: _CallerType) -> ColumnElement[bool]:
    """Whether the caller may see a row's project."""
    if caller_type.is_administrator:
        return true()
    ways = [project.c.public.is_(True), *(exists().where(way).correlate(project) for way in _memberships(caller_type))]
    if caller_type.kind == "robot":
        ways.append(is_given_project(_CALLER_ID))
    return or_(*ways)
