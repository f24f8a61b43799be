"""Who has which role in which project."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import Caller, Member, Requester
from authsvc.domain.permission import Role, lacking
from svckit.errors import Conflict, Denied, FieldViolation, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Clause, Exact, Fuzzy, Order

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.ports import Unit, UnitOfWork
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)


_LISTING: Listing[Member] = Listing(
    name="members",
    sort_keys={
        "entity_name": SortKey(str, lambda member: member.username),
        "id": SortKey(int, lambda member: member.id),
    },
    default_order=(Order("entity_name"),),
)


async def create_member(
    ports: Ports,
    requester: Requester,
    project_id: int,
    role_id: int,
    *,
    user_id: int = 0,
    username: str = "",
    key: IdempotencyKey | None = None,
) -> Member:
    """Gives a role to a user, who is given by id or by name. The interceptor has already checked "member:create".

    A repeat with the same idempotency key answers with the membership that the first call made.

    Raises:
        DomainError: USER_UNKNOWN; CONFLICT, the user is a member already, or the key was used for another request;
            BAD_REQUEST, there is no such role, or no user is given; FORBIDDEN, the role allows more than the caller
            may do.
    """

    async def work() -> Member:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            role = await _assignable(unit, role_id)
            await _check_grant(unit, caller, project_id, role)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                member = await unit.members.get(project_id, first.made_id)
                if member is None:
                    raise made_is_gone()
                return member
            member_user_id = await _find_user(unit, user_id, username)
            member_id = await unit.members.add(project_id, member_user_id, role_id, now)
            if member_id is None:
                raise Conflict(message="the user is a member already")
            await unit.idempotency.remember(key, member_id)
            member = await _existing(unit, project_id, member_id)
            unit.record(change_of(ChangeKind.MEMBER_CREATED, requester.origin, now, new=member))
            await unit.commit()
        _log.info(
            "member_created",
            project_id=project_id,
            user_id=member_user_id,
            role=role.name,
            actor=str(requester.origin.actor),
        )
        return member

    return await ports.store.repeat(work)


async def get_member(ports: Ports, project_id: int, member_id: int) -> Member:
    """Reads a membership.

    Raises:
        DomainError: MEMBER_UNKNOWN.
    """
    async with ports.store.read() as unit:
        return await _existing(unit, project_id, member_id)


async def list_members(ports: Ports, project_id: int, request: ListRequest, name: str) -> Page[Member]:
    """Lists a project's members, by default in the order of their names. `name` is a part of the user's name.

    Raises:
        DomainError: INVALID_PAGE_TOKEN.
    """
    fixed: tuple[Clause, ...] = (Exact("project_id", project_id),)
    if name:
        fixed = (*fixed, Fuzzy("entity_name", name))
    async with ports.store.read() as unit:
        return await _LISTING.page(
            request,
            lambda selection: unit.members.page(replace(selection, clauses=(*fixed, *selection.clauses))),
            lambda clauses: unit.members.count((*fixed, *clauses)),
            scope=(project_id, name),
        )


async def update_member(
    ports: Ports, requester: Requester, project_id: int, member_id: int, role_id: int, *, etag: str = ""
) -> Member:
    """Changes a member's role. The interceptor has already checked "member:update".

    Raises:
        DomainError: MEMBER_UNKNOWN; PRECONDITION, another change came first; BAD_REQUEST, there is no such role;
            FORBIDDEN, the role allows more than the caller may do.
    """

    async def work() -> Member:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            member = await _locked(unit, project_id, member_id)
            role = await _assignable(unit, role_id)
            await _check_grant(unit, caller, project_id, role)
            if role.id == member.role_id:
                # Before the etag is checked: a caller that repeats a finished update still sends the old etag.
                return member
            check_etag(etag, member)
            changed = replace(member, role_id=role.id, role_name=role.name, version=member.version + 1)
            await unit.members.update(changed)
            unit.record(change_of(ChangeKind.MEMBER_ROLE_CHANGED, requester.origin, now, old=member, new=changed))
            await unit.commit()
        _log.info(
            "member_role_changed",
            project_id=project_id,
            user_id=member.user_id,
            role=role.name,
            actor=str(requester.origin.actor),
        )
        return changed

    return await ports.store.repeat(work)


async def delete_member(ports: Ports, requester: Requester, project_id: int, member_id: int) -> None:
    """Ends a membership. The interceptor has already checked "member:delete".

    Raises:
        DomainError: MEMBER_UNKNOWN.
    """

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            member = await _locked(unit, project_id, member_id)
            await unit.members.remove(member)
            unit.record(change_of(ChangeKind.MEMBER_DELETED, requester.origin, now, old=member))
            await unit.commit()
        _log.info("member_deleted", project_id=project_id, user_id=member.user_id, actor=str(requester.origin.actor))

    await ports.store.repeat(work)


async def _locked(unit: UnitOfWork, project_id: int, member_id: int) -> Member:
    member = await unit.members.lock(project_id, member_id)
    if member is None:
        raise NotFound("MEMBER_UNKNOWN")
    return member


async def _assignable(unit: UnitOfWork, role_id: int) -> Role:
    role = await unit.roles.get(role_id)
    if role is None or not role.is_assignable:
        raise Invalid(
            message="there is no such role",
            violations=[FieldViolation("role_id", "is not the id of a role that members can have")],
        )
    return role


async def _check_grant(unit: UnitOfWork, caller: Caller, project_id: int, role: Role) -> None:
    if lacking(await unit.roles.held(caller, project_id), await unit.roles.permissions(role.id)):
        raise Denied(message=f"the role {role.name} allows more than you may do")


async def _find_user(unit: UnitOfWork, user_id: int, username: str) -> int:
    if not user_id and not username:
        raise Invalid(
            message="member_user names no user", violations=[FieldViolation("member_user", "has neither id nor name")]
        )
    user = await unit.users.get(user_id) if user_id else await unit.users.by_name(username)
    if user is None or (username and user.username != username):
        raise NotFound("USER_UNKNOWN")
    return user.id


async def _existing(unit: Unit, project_id: int, member_id: int) -> Member:
    member = await unit.members.get(project_id, member_id)
    if member is None:
        raise NotFound("MEMBER_UNKNOWN")
    return member
