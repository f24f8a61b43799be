"""Accounts for programs, with permissions of their own. Nobody grants a robot more than they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from authsvc.domain.caller import identify
from authsvc.domain.model import Caller, Identity, Robot
from authsvc.domain.permission import Permission, check_robot_permissions, lacking
from svckit.errors import Conflict, Denied, DomainError, FieldViolation, Invalid, NotFound
from svckit.idempotency import IDEMPOTENCY_KEY, FirstCall, made_is_gone, used_for_another_request
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Clause, Exact, Form, Key, Order, parse_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authsvc.domain.ports import Clock, RobotAccess, Store, Unit
    from authsvc.domain.robot_secret import RobotSecrets
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)

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
class RobotSpec:
    """What a robot is to be, apart from its name.

    Attributes:
        project: name of the project that its permissions are of.
        permissions: what it may do there.
        description: free text.
        duration_days: -1 for ever; None, in an update, for what it was.
        disabled: may not log in.

    Raises:
        DomainError: BAD_REQUEST; a field breaks its rule.
    """

    project: str
    permissions: frozenset[Permission]
    description: str = ""
    duration_days: int | None = FOR_EVER
    disabled: bool = False

    def __post_init__(self) -> None:
        check_robot_permissions(self.permissions)
        if len(self.description) > _MAXIMUM_DESCRIPTION_CHARACTERS or "\0" in self.description:
            _refuse("description", f"has {_MAXIMUM_DESCRIPTION_CHARACTERS} characters at most")
        days = self.duration_days
        if days is not None and days != FOR_EVER and not 1 <= days <= _MAXIMUM_DAYS:
            _refuse("duration", f"is -1 for ever, or 1 to {_MAXIMUM_DAYS} days")


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A robot with the secret that was just made for it. It is shown once, and not kept."""

    robot: Robot
    secret: str = field(repr=False)


async def create_robot(
    store: Store,
    secrets: RobotSecrets,
    access: RobotAccess,
    clock: Clock,
    identity: Identity,
    name: str,
    spec: RobotSpec,
    chosen_secret: str,
    *,
    key: IdempotencyKey | None = None,
) -> NewSecret:
    """Creates a robot in the project that its permissions name.

    A repeat with the same idempotency key answers as the first call did. The secret of that answer comes from the
    request, so only a secret of the caller's choice can be repeated: one that is made here is not kept.

    Raises:
        DomainError: PROJECT_UNKNOWN; FORBIDDEN, the caller may not, or grants more than it holds; CONFLICT, the name is
            taken in the project, or the key was used for another request; BAD_REQUEST, also for a key without a chosen
            secret; UNAUTHORIZED.
    """
    if key is not None and not chosen_secret:
        _refuse(
            "secret",
            f"is needed beside an {IDEMPOTENCY_KEY}: one that is made at random could not be given a second time",
        )
    if not 1 <= len(name) <= _MAXIMUM_NAME_CHARACTERS or not _NAME.fullmatch(name):
        _refuse("name", "has lower-case letters and digits, with single '.', '_' or '-' between them")
    project_id = await access.check_named(spec.project, "create")
    secret, secret_hash = await secrets.make(chosen_secret)

    days = FOR_EVER if spec.duration_days is None else spec.duration_days

    async def work() -> Robot | FirstCall:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            if caller.kind == "anonymous":
                raise Denied
            await _check_grant(unit, caller, project_id, spec.permissions)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                return first
            robot_id = await unit.robots.add(
                project_id=project_id,
                name=name,
                description=spec.description,
                disabled=spec.disabled,
                duration_days=days,
                expire_time=_expire_time(now, days),
                secret_hash=secret_hash,
                creator_kind=caller.kind,
                creator_id=caller.id,
                permissions=spec.permissions,
                now=now,
            )
            if robot_id is None:
                raise Conflict(message=f"the project has a robot {name} already")
            await unit.idempotency.remember(key, robot_id, secret_hash=secret_hash)
            robot = await _existing(unit, robot_id)
            await unit.commit()
        _log.info("robot_created", robot_id=robot.id, name=robot.full_name, actor=caller.subject)
        return robot

    made = await store.repeat(work)
    if isinstance(made, Robot):
        return NewSecret(made, secret)
    # After the unit has ended: nobody else could write while this hashes.
    if not await secrets.verify(made.secret_hash, secret):
        raise used_for_another_request()
    async with store.read() as unit:
        robot = await unit.robots.get(made.made_id)
    if robot is None:
        raise made_is_gone()
    # Its life may have been changed since; the first answer told how long it was then.
    return NewSecret(replace(robot, expire_time=_expire_time(robot.create_time, days)), secret)


async def get_robot(store: Store, access: RobotAccess, robot_id: int) -> Robot:
    """Reads a robot.

    Raises:
        DomainError: ROBOT_UNKNOWN, also for one that the caller may not read.
    """
    return await _permitted(store, access, robot_id, "read")


async def list_robots(
    store: Store, access: RobotAccess, request: ListRequest, project_id: int | None, project_name: str
) -> Page[Robot]:
    """Lists the robots of one project: the one given, or the one that `q` names by `ProjectID`.

    Without a project, or with `Level=system`, it lists the robots of the system level. Those come with a later
    release, so there are none; who may not list them hears that.

    Raises:
        DomainError: PROJECT_UNKNOWN, FORBIDDEN, UNAUTHORIZED; BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    query = parse_query(request.q, _LISTING.keys)
    level = query.exact(_LEVEL)
    if level not in (None, "project", "system"):
        _refuse("q", "Level is project or system")
    if project_id is not None:
        project_id = await access.check_id(project_id, "list")
    elif project_name:
        project_id = await access.check_named(project_name, "list")
    elif level != "system" and isinstance(stated := query.exact(_PROJECT_ID), int):
        project_id = await access.check_id(stated, "list")
    if project_id is None or level == "system":
        await access.check_system("list")
        return Page(())

    def within(clauses: Sequence[Clause]) -> tuple[Clause, ...]:
        return (Exact(_PROJECT_ID, project_id), *(clause for clause in clauses if clause.key != _LEVEL))

    async with store.read() as unit:
        return await _LISTING.page(
            request,
            lambda selection: unit.robots.page(replace(selection, clauses=within(selection.clauses))),
            lambda clauses: unit.robots.count(within(clauses)),
            scope=(project_id,),
        )


async def update_robot(
    store: Store,
    access: RobotAccess,
    clock: Clock,
    identity: Identity,
    robot_id: int,
    spec: RobotSpec,
    *,
    name: str = "",
) -> Robot:
    """Replaces a robot's description, permissions, duration and state.

    `spec` is of the robot's own project, and `name`, where it is not empty, the robot's own: they do not change.

    Raises:
        DomainError: ROBOT_UNKNOWN; FORBIDDEN, the caller may not, or grants more than it holds; BAD_REQUEST.
    """
    await _permitted(store, access, robot_id, "update")

    async def work() -> Robot:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            robot = await unit.robots.lock(robot_id)
            if robot is None:
                raise NotFound("ROBOT_UNKNOWN")
            if name and name not in (robot.full_name, robot.name):
                _refuse("name", "is not the robot's own: it does not change")
            if spec.project != robot.project_name:
                _refuse("permissions", "are of another project than the robot")
            await _check_grant(unit, caller, robot.project_id, spec.permissions)
            days = robot.duration_days if spec.duration_days is None else spec.duration_days
            changed = replace(
                robot,
                description=spec.description,
                disabled=spec.disabled,
                duration_days=days,
                expire_time=_expire_time(robot.create_time, days),
                permissions=spec.permissions,
                update_time=now,
            )
            await unit.robots.update(changed)
            await unit.commit()
        _log.info(
            "robot_changed", robot_id=robot_id, name=robot.full_name, disabled=changed.disabled, actor=caller.subject
        )
        return changed

    return await store.repeat(work)


async def refresh_secret(
    store: Store,
    secrets: RobotSecrets,
    access: RobotAccess,
    clock: Clock,
    identity: Identity,
    robot_id: int,
    chosen_secret: str,
) -> NewSecret:
    """Gives a robot a new secret; the old one ends at once.

    Raises:
        DomainError: ROBOT_UNKNOWN; FORBIDDEN, the caller may not, or the robot holds more than the caller: who has a
            robot's secret has its permissions. BAD_REQUEST, a chosen secret that is too weak.
    """
    await _permitted(store, access, robot_id, "update")
    secret, secret_hash = await secrets.make(chosen_secret)

    async def work() -> Robot:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            robot = await unit.robots.lock(robot_id)
            if robot is None:
                raise NotFound("ROBOT_UNKNOWN")
            await _check_grant(unit, caller, robot.project_id, robot.permissions)
            await unit.robots.set_secret(robot_id, secret_hash, now)
            await unit.commit()
        _log.info("robot_secret_changed", robot_id=robot_id, name=robot.full_name, actor=caller.subject)
        return robot

    return NewSecret(await store.repeat(work), secret)


async def delete_robot(store: Store, access: RobotAccess, clock: Clock, identity: Identity, robot_id: int) -> None:
    """Deletes a robot.

    Raises:
        DomainError: ROBOT_UNKNOWN, FORBIDDEN.
    """
    robot = await _permitted(store, access, robot_id, "delete")

    async def work() -> None:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            if not await unit.robots.remove(robot_id):
                raise NotFound("ROBOT_UNKNOWN")
            await unit.commit()
        _log.info("robot_deleted", robot_id=robot_id, name=robot.full_name, actor=caller.subject)

    await store.repeat(work)


async def _permitted(store: Store, access: RobotAccess, robot_id: int, action: str) -> Robot:
    """The robot, if the caller may do this to it. To who may not read it, it is not there."""
    access.require_identity()
    async with store.read() as unit:
        robot = await unit.robots.get(robot_id)
    if robot is None:
        raise NotFound("ROBOT_UNKNOWN")
    try:
        await access.check_id(robot.project_id, action)
    except (Denied, NotFound) as refusal:
        if action == "read" or not await _may_read(access, robot.project_id):
            raise NotFound("ROBOT_UNKNOWN") from None
        raise refusal from None
    return robot


async def _may_read(access: RobotAccess, project_id: int) -> bool:
    try:
        await access.check_id(project_id, "read")
    except (Denied, NotFound):
        return False
    return True


async def _check_grant(unit: Unit, caller: Caller, project_id: int, permissions: frozenset[Permission]) -> None:
    missing = lacking(await unit.roles.held(caller, project_id), permissions)
    if missing:
        named = ", ".join(f"{permission.resource}:{permission.action}" for permission in sorted(missing)[:5])
        raise Denied(message=f"the robot would hold more than you do: {named}")


def _expire_time(create_time: datetime, duration_days: int) -> datetime | None:
    return None if duration_days == FOR_EVER else create_time + timedelta(days=duration_days)


async def _existing(unit: Unit, robot_id: int) -> Robot:
    robot = await unit.robots.get(robot_id)
    if robot is None:
        raise DomainError("INTERNAL", "a robot that was just written is not there")
    return robot


def _refuse(name: str, description: str) -> NoReturn:
    raise Invalid(message=f"{name} {description}", violations=[FieldViolation(name, description)])
