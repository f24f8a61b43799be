"""Creates, changes and deletes robots. A caller must not give a robot a permission that the caller lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.grant import exceeding, held_in
from authsvc.domain.model import Caller, Identity, Requester, Robot
from authsvc.domain.permission import SYSTEM_ADMINISTRATOR_ROLE, Permission, lacking
from authsvc.domain.revocation import loss_of
from authsvc.domain.robot import (
    SYSTEM_LEVEL,
    NewRobot,
    NewSecret,
    RobotChange,
    check_level,
    expire_time,
    permitted_robot,
)
from svckit.errors import Conflict, Denied, DomainError, FieldViolation, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import IDEMPOTENCY_KEY, FirstCall, made_is_gone, used_for_another_request
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authsvc.domain.bundle import Ports
    from authsvc.domain.grant import AskedGrant, Grant, Scope
    from authsvc.domain.rows import Unit, UnitOfWork
    from svckit.access.decision import ProjectKey
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)


async def create_robot(
    ports: Ports, requester: Requester, new: NewRobot, chosen_secret: str, *, key: IdempotencyKey | None = None
) -> NewSecret:
    """Creates a robot of the system level, or of the project that its permissions name.

    A repeat with the same idempotency key answers as the first call did. A random secret is not stored, so it cannot be
    answered again. Therefore a call with a key must choose the secret itself.

    Raises:
        DomainError: PROJECT_UNKNOWN; FORBIDDEN, the caller may not create robots; DENIED, the caller lacks one of the
            permissions; CONFLICT, the name is taken on this level, or the key was used for another request;
            BAD_REQUEST, also for a key without a chosen secret; UNAUTHORIZED.
    """
    if key is not None and not chosen_secret:
        raise Invalid.of_field(
            "secret",
            f"is required with an {IDEMPOTENCY_KEY}: a random secret is not stored, so a repeat could not return it",
        )
    project_id = SYSTEM_LEVEL
    if new.level == "project":
        project_id = await ports.robot_access.check_named(new.grants[0].namespace, "create")
    else:
        await ports.robot_access.check_system("create")
    secret, secret_hash = await ports.robot_secrets.make(chosen_secret)

    async def work() -> Robot | FirstCall:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            if caller.kind == "anonymous":
                raise Denied
            grants = await _resolved(unit, caller, new.grants, project_id)
            await _check_grants(unit, caller, grants)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                return first
            robot_id = await unit.robots.add(
                project_id=project_id,
                name=new.name,
                description=new.description,
                disabled=new.disabled,
                duration_days=new.duration_days,
                expire_time=new.stated_expire_time or expire_time(now, new.duration_days),
                secret_hash=secret_hash,
                creator_kind=caller.kind,
                creator_id=caller.id,
                grants=grants,
                now=now,
            )
            if robot_id is None:
                raise Conflict(message=f"a robot {new.name} exists already")
            await unit.idempotency.remember(key, robot_id, secret_hash=secret_hash)
            robot = await unit.robots.get(robot_id)
            if robot is None:
                raise DomainError("INTERNAL", "a robot that was just written cannot be read")
            unit.record(change_of(ChangeKind.ROBOT_CREATED, requester.origin, now, new=robot))
            await unit.commit()
        _log.info("robot_created", robot_id=robot.id, name=robot.full_name, actor=str(requester.origin.actor))
        return robot

    made = await ports.store.repeat(work)
    if isinstance(made, Robot):
        return NewSecret(made, secret)
    # After the unit has ended: on SQLite, an open unit blocks all other writers while this hashes.
    if not await ports.robot_secrets.verify(made.secret_hash, secret):
        raise used_for_another_request()
    async with ports.store.read() as unit:
        robot = await unit.robots.get(made.made_id)
    if robot is None:
        raise made_is_gone()
    # The duration may have been changed since then. The repeat gives the expiry of the first answer.
    return NewSecret(replace(robot, expire_time=expire_time(robot.create_time, new.duration_days)), secret)


async def update_robot(
    ports: Ports, requester: Requester, robot_id: int, change: RobotChange, project: ProjectKey | None = None
) -> Robot:
    """Changes the description, permissions, duration or state of a robot, as far as the change sets them.

    With a project, a robot that does not belong to it is unknown.

    Raises:
        DomainError: ROBOT_UNKNOWN; FORBIDDEN, the caller may not change robots; DENIED, the caller lacks one of the
            permissions; PROJECT_UNKNOWN; PRECONDITION, another change came first; BAD_REQUEST.
    """
    await permitted_robot(ports, robot_id, "update", project)

    async def work() -> Robot:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            robot = await _locked(unit, robot_id)
            grants = robot.grants
            if change.grants is not None:
                _check_project(robot, change.grants)
                grants = await _resolved(unit, caller, change.grants, robot.project_id)
            _check_repeated(robot, change)
            days = robot.duration_days if change.duration_days is None else change.duration_days
            wanted = replace(
                robot,
                description=robot.description if change.description is None else change.description,
                disabled=robot.disabled if change.disabled is None else change.disabled,
                duration_days=days,
                expire_time=robot.expire_time if days == robot.duration_days else expire_time(robot.create_time, days),
                grants=grants,
            )
            # Checked even if the permissions stay the same: a caller that enables a robot, or extends its duration,
            # gives it its permissions again.
            await _check_grants(unit, caller, wanted.grants)
            if wanted == robot:
                # Before the etag is checked: a caller that repeats a finished update still sends the old etag.
                return robot
            check_etag(change.etag, robot)
            changed = replace(wanted, version=robot.version + 1, update_time=now)
            if changed.is_refused(now) != robot.is_refused(now):
                # Its refresh tokens end for good, also if it is enabled again, or valid again after it has expired.
                changed = replace(changed, credential_version=robot.credential_version + 1)
                await unit.refresh_tokens.remove_of(Identity("robot", robot_id))
            await unit.robots.update(changed)
            ends = changed.is_refused(now) and not robot.is_refused(now)
            if ends or exceeding(robot.grants, changed.grants):
                unit.revoke(loss_of(Identity("robot", robot_id)))
            unit.record(change_of(ChangeKind.ROBOT_CHANGED, requester.origin, now, old=robot, new=changed))
            await unit.commit()
        _log.info(
            "robot_changed",
            robot_id=robot_id,
            name=robot.full_name,
            disabled=changed.disabled,
            actor=str(requester.origin.actor),
        )
        return changed

    return await ports.store.repeat(work)


async def refresh_secret(ports: Ports, requester: Requester, robot_id: int, chosen_secret: str) -> NewSecret:
    """Gives a robot a new secret. The old one stops working at once, and so do the robot's refresh tokens.

    The caller must hold all permissions of the robot, because the new secret lets the caller use them.

    Raises:
        DomainError: ROBOT_UNKNOWN; FORBIDDEN, the caller may not change robots; DENIED, the caller lacks a permission
            of the robot; BAD_REQUEST, a chosen secret that is too weak.
    """
    await permitted_robot(ports, robot_id, "update")
    secret, secret_hash = await ports.robot_secrets.make(chosen_secret)

    async def work() -> Robot:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            robot = await _locked(unit, robot_id)
            await _check_grants(unit, caller, robot.grants)
            changed = replace(
                robot, version=robot.version + 1, update_time=now, credential_version=robot.credential_version + 1
            )
            await unit.robots.set_secret(changed, secret_hash)
            await unit.refresh_tokens.remove_of(Identity("robot", robot_id))
            unit.record(change_of(ChangeKind.ROBOT_SECRET_CHANGED, requester.origin, now, old=robot, new=changed))
            unit.revoke(loss_of(Identity("robot", robot_id)))
            await unit.commit()
        _log.info("robot_secret_changed", robot_id=robot_id, name=robot.full_name, actor=str(requester.origin.actor))
        return changed

    return NewSecret(await ports.store.repeat(work), secret)


async def delete_robot(ports: Ports, requester: Requester, robot_id: int, project: ProjectKey | None = None) -> None:
    """Deletes a robot. With a project, a robot that does not belong to it is unknown.

    Raises:
        DomainError: ROBOT_UNKNOWN, FORBIDDEN.
    """
    await permitted_robot(ports, robot_id, "delete", project)

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            robot = await _locked(unit, robot_id)
            await unit.robots.remove(robot_id)
            unit.record(change_of(ChangeKind.ROBOT_DELETED, requester.origin, now, old=robot))
            unit.revoke(loss_of(Identity("robot", robot_id)))
            await unit.commit()
        _log.info("robot_deleted", robot_id=robot_id, name=robot.full_name, actor=str(requester.origin.actor))

    await ports.store.repeat(work)


async def _locked(unit: UnitOfWork, robot_id: int) -> Robot:
    robot = await unit.robots.lock(robot_id)
    if robot is None:
        raise NotFound("ROBOT_UNKNOWN")
    return robot


def _check_project(robot: Robot, grants: Sequence[AskedGrant]) -> None:
    check_level(robot.level, grants)
    if robot.project_id and grants[0].namespace != robot.project_name:
        raise Invalid(
            message="cannot update the project id of robot",
            violations=[FieldViolation("permissions", "name another project than the robot's own")],
        )


def _check_repeated(robot: Robot, change: RobotChange) -> None:
    wrong = [
        FieldViolation(name, "is not the robot's own")
        for name, said, own in (("name", change.name, robot.full_name), ("level", change.level, robot.level))
        if said is not None and said != own
    ]
    if wrong:
        raise Invalid(message="cannot update the level or name of robot", violations=wrong)


async def _resolved(unit: Unit, caller: Caller, asked: Sequence[AskedGrant], project_id: int) -> tuple[Grant, ...]:
    """The grants, with the ids of their projects. A project's robot has one grant, for the project of that id.

    Raises:
        DomainError: PROJECT_UNKNOWN; a project does not exist, or the caller may not see it.
    """
    names = [grant.namespace for grant in asked if grant.names_one_project]
    if project_id:
        project_ids: Mapping[str, int] = dict.fromkeys(names, project_id)
    else:
        project_ids = await unit.projects.visible_ids(caller, names) if names else {}
    if project_ids.keys() < set(names):
        raise NotFound("PROJECT_UNKNOWN")
    return tuple(grant.in_scope(project_ids) for grant in asked)


async def _check_grants(unit: Unit, caller: Caller, grants: Sequence[Grant]) -> None:
    """Checks that the caller holds all that the grants come to.

    A robot must have been given it itself: what anybody may do in a public project ends when the project is private.

    Raises:
        DomainError: DENIED.
    """
    if caller.kind == "robot":
        robot = await unit.robots.get(caller.id)
        missing = exceeding(grants, () if robot is None else robot.grants)
    else:
        held = await _held_by_user(unit, caller, [grant.scope for grant in grants])
        missing = frozenset[Permission]().union(
            *(lacking(held[grant.scope], held_in([grant], grant.scope)) for grant in grants)
        )
    if missing:
        named = ", ".join(f"{permission.resource}:{permission.action}" for permission in sorted(missing)[:5])
        raise Denied("DENIED", f"you cannot give a robot permissions that you do not have: {named}")


async def _held_by_user(unit: Unit, caller: Caller, scopes: Sequence[Scope]) -> Mapping[Scope, frozenset[Permission]]:
    if caller.is_administrator:
        # The same everywhere, and a robot may have 200 scopes.
        return dict.fromkeys(scopes, await unit.roles.permissions(SYSTEM_ADMINISTRATOR_ROLE))
    # Nobody but administrators holds anything on the system level, or in every project.
    return {
        scope: await unit.roles.held(caller, scope.project_id) if scope.project_id else frozenset() for scope in scopes
    }
