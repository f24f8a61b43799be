"""Robots and their permissions."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.grant import EVERY_PROJECT, EVERY_PROJECT_NAMESPACE, SYSTEM, SYSTEM_NAMESPACE, Access, Grant, Scope
from authsvc.domain.model import Robot, RobotState
from authsvc.domain.permission import Permission
from authsvc.domain.robot import SYSTEM_LEVEL
from authsvc.store.robot_grant import SYSTEM_KIND
from authsvc.store.tables import project, robot, robot_permission, robot_wide_permission
from svckit.errors import NotFound
from svckit.sql.selection import count_rows, read_page
from svckit.sql.statements import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from svckit.listing import Selection
    from svckit.query import Clause
    from svckit.sql.selection import Columns

_FROM = robot.outerjoin(project, project.c.id == robot.c.project_id)
_ALL: Select[Any] = select(
    *(column for column in robot.c if column is not robot.c.secret_hash), project.c.name.label("project_name")
).select_from(_FROM)
_GET = _ALL.where(robot.c.id == bindparam("robot_id"))
_LOCK = _GET.with_for_update(of=robot)
_STATE: Select[Any] = select(
    robot.c.id,
    robot.c.name,
    project.c.name.label("project_name"),
    robot.c.disabled,
    robot.c.expire_time,
    robot.c.secret_hash,
    robot.c.credential_version,
).select_from(_FROM)
_STATE_BY_ID = _STATE.where(robot.c.id == bindparam("robot_id"))
# By the index of names, which begins with scope_id. Otherwise a log-in would read all robots of the project.
_STATE_BY_NAME = _STATE.where(
    project.c.name == bindparam("project_name"), robot.c.scope_id == project.c.id, robot.c.name == bindparam("name")
)
_STATE_ON_SYSTEM = _STATE.where(robot.c.scope_id == SYSTEM_LEVEL, robot.c.name == bindparam("name"))
_ROBOT_IDS: BindParameter[Any] = bindparam("robot_ids", expanding=True)
_IN_PROJECTS = (
    select(robot_permission, project.c.name.label("project_name"))
    .select_from(robot_permission.join(project, project.c.id == robot_permission.c.project_id))
    .where(robot_permission.c.robot_id.in_(_ROBOT_IDS))
)
_WIDE = select(robot_wide_permission).where(robot_wide_permission.c.robot_id.in_(_ROBOT_IDS))
_COLUMNS: Columns = {
    "id": robot.c.id,
    "scope_id": robot.c.scope_id,
    "name": robot.c.name,
    "description": robot.c.description,
    "disabled": robot.c.disabled,
    "duration_days": robot.c.duration_days,
    "creator_id": robot.c.creator_id,
    "creation_time": robot.c.create_time,
    "update_time": robot.c.update_time,
}


class SqlRobots:
    """See `domain.account_rows.RobotRows`."""

    def __init__(self, conn: AsyncConnection, name_prefix: str) -> None:
        self._conn = conn
        self._name_prefix = name_prefix

    async def get(self, robot_id: int) -> Robot | None:
        """See the port."""
        return await self._one(_GET, robot_id)

    async def lock(self, robot_id: int) -> Robot | None:
        """See the port."""
        return await self._one(_LOCK, robot_id)

    async def state(self, robot_id: int) -> RobotState | None:
        """See the port."""
        row = (await self._conn.execute(_STATE_BY_ID, {"robot_id": robot_id})).one_or_none()
        return None if row is None else self._state(row)

    async def credentials(self, project_name: str, name: str) -> tuple[RobotState, str] | None:
        """See the port."""
        query = _STATE_BY_NAME if project_name else _STATE_ON_SYSTEM
        row = (await self._conn.execute(query, {"project_name": project_name, "name": name})).one_or_none()
        return None if row is None else (self._state(row), row.secret_hash)

    async def page(self, selection: Selection) -> list[Robot]:
        """See the port."""
        return await self._with_grants(await read_page(self._conn, _ALL, _COLUMNS, selection))

    async def count(self, clauses: Sequence[Clause]) -> int:
        """See the port."""
        return await count_rows(self._conn, _ALL, _COLUMNS, clauses)

    async def add(
        self,
        *,
        project_id: int,
        name: str,
        description: str,
        disabled: bool,
        duration_days: int,
        expire_time: datetime | None,
        secret_hash: str,
        creator_kind: Literal["user", "robot"],
        creator_id: int,
        grants: Sequence[Grant],
        now: datetime,
    ) -> int | None:
        """See the port."""
        try:
            added: int | None = await self._conn.scalar(
                upsert(self._conn, robot)
                .values(
                    project_id=project_id or None,
                    scope_id=project_id,
                    name=name,
                    description=description,
                    disabled=disabled,
                    duration_days=duration_days,
                    expire_time=expire_time,
                    secret_hash=secret_hash,
                    creator_kind=creator_kind,
                    creator_id=creator_id,
                    version=1,
                    create_time=now,
                    update_time=now,
                )
                .on_conflict_do_nothing()
                .returning(robot.c.id)
            )
        except IntegrityError as error:
            raise NotFound("PROJECT_UNKNOWN") from error
        if added is not None:
            await self._give(added, grants)
        return added

    async def update(self, changed: Robot) -> None:
        """See the port."""
        await self._conn.execute(
            update(robot)
            .where(robot.c.id == changed.id)
            .values(
                description=changed.description,
                disabled=changed.disabled,
                duration_days=changed.duration_days,
                expire_time=changed.expire_time,
                credential_version=changed.credential_version,
                version=changed.version,
                update_time=changed.update_time,
            )
        )
        for table in (robot_permission, robot_wide_permission):
            await self._conn.execute(delete(table).where(table.c.robot_id == changed.id))
        await self._give(changed.id, changed.grants)

    async def set_secret(self, changed: Robot, secret_hash: str) -> None:
        """See the port."""
        await self._conn.execute(
            update(robot)
            .where(robot.c.id == changed.id)
            .values(
                secret_hash=secret_hash,
                credential_version=changed.credential_version,
                version=changed.version,
                update_time=changed.update_time,
            )
        )

    async def remove(self, robot_id: int) -> None:
        """See the port."""
        await self._conn.execute(delete(robot).where(robot.c.id == robot_id))

    async def _give(self, robot_id: int, grants: Sequence[Grant]) -> None:
        in_projects: list[dict[str, object]] = []
        wide: list[dict[str, object]] = []
        for grant in grants:
            rows, place = (
                (in_projects, {"project_id": grant.scope.project_id})
                if grant.scope.project_id
                else (wide, {"kind": grant.scope.kind})
            )
            rows.extend(
                {
                    "robot_id": robot_id,
                    **place,
                    "resource": access.permission.resource,
                    "action": access.permission.action,
                    "effect": access.effect,
                }
                for access in sorted(grant.accesses)
            )
        if wide:
            await self._conn.execute(insert(robot_wide_permission), wide)
        if in_projects:
            try:
                await self._conn.execute(insert(robot_permission), in_projects)
            except IntegrityError as error:
                raise NotFound("PROJECT_UNKNOWN") from error

    async def _one(self, query: Select[Any], robot_id: int) -> Robot | None:
        rows = (await self._conn.execute(query, {"robot_id": robot_id})).all()
        return next(iter(await self._with_grants(rows)), None)

    async def _with_grants(self, rows: Sequence[Row[Any]]) -> list[Robot]:
        grants = await self._grants([row.id for row in rows])
        return [
            Robot(
                id=row.id,
                project_id=row.scope_id,
                project_name=row.project_name or "",
                name=row.name,
                full_name=self._full_name(row),
                description=row.description,
                disabled=row.disabled,
                duration_days=row.duration_days,
                expire_time=row.expire_time,
                creator_kind=row.creator_kind,
                creator_id=row.creator_id,
                version=row.version,
                create_time=row.create_time,
                update_time=row.update_time,
                grants=grants[row.id],
                credential_version=row.credential_version,
            )
            for row in rows
        ]

    async def _grants(self, robot_ids: Sequence[int]) -> Mapping[int, tuple[Grant, ...]]:
        """The grants of each of these robots, sorted by kind and namespace. Two queries."""
        found: dict[int, dict[tuple[str, str], tuple[Scope, set[Access]]]] = {robot_id: {} for robot_id in robot_ids}
        if not robot_ids:
            return {}
        values = {"robot_ids": robot_ids}
        for row in await self._conn.execute(_IN_PROJECTS, values):
            scope = Scope("project", row.project_id)
            accesses = found[row.robot_id].setdefault(("project", row.project_name), (scope, set()))[1]
            accesses.add(_access(row))
        for row in await self._conn.execute(_WIDE, values):
            scope, namespace = (
                (SYSTEM, SYSTEM_NAMESPACE) if row.kind == SYSTEM_KIND else (EVERY_PROJECT, EVERY_PROJECT_NAMESPACE)
            )
            accesses = found[row.robot_id].setdefault((scope.kind, namespace), (scope, set()))[1]
            accesses.add(_access(row))
        return {
            robot_id: tuple(
                Grant(scope, namespace, frozenset(accesses))
                for (_kind, namespace), (scope, accesses) in sorted(grants.items(), key=itemgetter(0))
            )
            for robot_id, grants in found.items()
        }

    def _state(self, row: Row[Any]) -> RobotState:
        return RobotState(row.id, self._full_name(row), row.disabled, row.expire_time, row.credential_version)

    def _full_name(self, row: Row[Any]) -> str:
        return (
            f"{self._name_prefix}{row.project_name}+{row.name}"
            if row.project_name
            else f"{self._name_prefix}{row.name}"
        )


def _access(row: Row[Any]) -> Access:
    return Access(Permission(row.resource, row.action), row.effect)
