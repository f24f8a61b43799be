"""Who has which role in which project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import Caller, Entity, Member, Requester
from authsvc.domain.permission import Role, lacking
from authsvc.domain.revocation import loss_of_entity, takes_away
from authsvc.domain.user import find_user
from authsvc.domain.user_group import normal_dn
from svckit.errors import Conflict, Denied, FieldViolation, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Clause, Exact, Form, Fuzzy, Key, Order

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import GroupType
    from authsvc.domain.rows import Unit, UnitOfWork
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)


_LISTING: Listing[Member] = Listing(
    name="members",
    sort_keys={
        "entity_name": SortKey(str, lambda member: member.entity_name),
        "id": SortKey(int, lambda member: member.id),
        "role_id": SortKey(int, lambda member: member.role_id),
    },
    default_order=(Order("entity_name"),),
    keys={
        "entity_name": Key("entity_name"),
        "entity_id": Key("entity_id", int),
        "entity_type": Key("entity_type", forms=frozenset({Form.EXACT})),
        "role_id": Key("role_id", int),
        "id": Key("id", int),
    },
)


@dataclass(frozen=True, slots=True)
class NamedEntity:
    """The user or group that a caller wants to make a member. Empty values are not given.

    Attributes:
        user_id: a user's id; or its name:
        username: a user's login name.
        group_id: a group's id; or its name and type, or its distinguished name:
        group_name: a group's name.
        group_type: its type: 1 LDAP, 2 HTTP, 3 OIDC.
        ldap_group_dn: the distinguished name of a group of LDAP.

    Raises:
        DomainError: BAD_REQUEST; nothing is given, a user and a group, or a group's name without its type.
    """

    user_id: int = 0
    username: str = ""
    group_id: int = 0
    group_name: str = ""
    group_type: int = 0
    ldap_group_dn: str = ""

    def __post_init__(self) -> None:
        names_user = bool(self.user_id or self.username)
        names_group = bool(self.group_id or self.group_name or self.ldap_group_dn)
        if not names_user and not names_group:
            # Harbor's text.
            raise Invalid(
                message="at least one of member_user or member_group must be provided",
                violations=[FieldViolation("member_user", "names no user, and member_group no group")],
            )
        if names_user and names_group:
            raise Invalid.of_field("member_group", "must not be given together with member_user")
        if self.group_name and not (self.group_id or self.ldap_group_dn) and self.group_type not in (1, 2, 3):
            raise Invalid.of_field("member_group.group_type", "must be 1, 2 or 3 with a group_name")

    async def find(self, unit: Unit) -> Entity:
        """Finds the user or group. If it is described in several ways, it must be what all of them say.

        Raises:
            DomainError: USER_UNKNOWN, USER_GROUP_UNKNOWN.
        """
        if self.user_id or self.username:
            return Entity("user", (await find_user(unit, self.user_id, self.username, "member_user")).id)
        dn = normal_dn(self.ldap_group_dn)
        if self.group_id:
            group = await unit.user_groups.get(self.group_id)
        elif dn:
            group = await unit.user_groups.by_ldap_group_dn(dn)
        else:
            group = await unit.user_groups.by_name(self.group_name, cast("GroupType", self.group_type))
        if (
            group is None
            or self.group_name not in ("", group.name)
            or self.group_type not in (0, group.type)
            or dn not in ("", group.ldap_group_dn)
        ):
            raise NotFound("USER_GROUP_UNKNOWN")
        return Entity("group", group.id)


async def create_member(
    ports: Ports,
    requester: Requester,
    project_id: int,
    role_id: int,
    named: NamedEntity,
    *,
    key: IdempotencyKey | None = None,
) -> Member:
    """Gives a role to a user or a group. The interceptor has already checked "member:create".

    A repeat with the same idempotency key answers with the membership that the first call made.

    Raises:
        DomainError: USER_UNKNOWN, USER_GROUP_UNKNOWN; CONFLICT, it is a member already, or the key was used for another
            request; BAD_REQUEST, there is no such role; FORBIDDEN, the role allows more than the caller may do.
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
            member_id = await unit.members.add(project_id, await named.find(unit), role_id, now)
            if member_id is None:
                # Harbor's text.
                raise Conflict(message="The project member specified already exist")
            await unit.idempotency.remember(key, member_id)
            member = await _existing(unit, project_id, member_id)
            unit.record(change_of(ChangeKind.MEMBER_CREATED, requester.origin, now, new=member))
            await unit.commit()
        _log.info("member_created", **_logged(member), role=role.name, actor=str(requester.origin.actor))
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
    """Lists a project's members, by default in the order of their names. `name` is a part of theirs.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    fixed: tuple[Clause, ...] = (Exact("project_id", project_id),)
    if name:
        fixed = (*fixed, Fuzzy("entity_name", name))
    async with ports.store.read() as unit:
        return await _LISTING.page(
            request,
            unit.members.page,
            unit.members.count,
            fixed=fixed,
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
            if takes_away(await unit.roles.permissions(member.role_id), await unit.roles.permissions(role.id)):
                unit.revoke(await loss_of_entity(unit, member.entity, project_id))
            await unit.commit()
        _log.info("member_role_changed", **_logged(member), role=role.name, actor=str(requester.origin.actor))
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
            unit.revoke(await loss_of_entity(unit, member.entity, project_id))
            await unit.commit()
        _log.info("member_deleted", **_logged(member), actor=str(requester.origin.actor))

    await ports.store.repeat(work)


async def _locked(unit: UnitOfWork, project_id: int, member_id: int) -> Member:
    member = await unit.members.get(project_id, member_id)
    if member is not None and member.entity.kind == "group":
        # So that nobody comes into the group until the commit: all of its users lose what the group loses.
        await unit.user_groups.lock(member.entity.id)
    member = await unit.members.lock(project_id, member_id)
    if member is None:
        raise NotFound("MEMBER_UNKNOWN")
    return member


async def _assignable(unit: UnitOfWork, role_id: int) -> Role:
    role = await unit.roles.get(role_id)
    if role is None or not role.is_assignable:
        raise Invalid(
            # Harbor's text.
            message="invalid role: must be a built-in project role (1-5) or an existing custom role",
            violations=[FieldViolation("role_id", "is not the id of a role that members can have")],
        )
    return role


async def _check_grant(unit: UnitOfWork, caller: Caller, project_id: int, role: Role) -> None:
    if lacking(await unit.roles.held(caller, project_id), await unit.roles.permissions(role.id)):
        raise Denied(message=f"the role {role.name} allows more than you may do")


async def _existing(unit: Unit, project_id: int, member_id: int) -> Member:
    member = await unit.members.get(project_id, member_id)
    if member is None:
        raise NotFound("MEMBER_UNKNOWN")
    return member


def _logged(member: Member) -> dict[str, int]:
    return {"project_id": member.project_id, f"{member.entity.kind}_id": member.entity.id}
