"""Groups of users: how to read, create, rename and delete them. `user_group_member` knows who is in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import LDAP_GROUP, GroupType, Identity, Requester, UserGroup
from authsvc.domain.revocation import loss_of_group
from svckit.errors import Conflict, FieldViolation, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Exact, Fuzzy, Key, Order

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.rows import Unit
    from svckit.idempotency import IdempotencyKey
    from svckit.query import Clause

_log = get_logger(__name__)

_LISTING: Listing[UserGroup] = Listing(
    name="user groups",
    sort_keys={
        "group_name": SortKey(str, lambda group: group.name),
        "id": SortKey(int, lambda group: group.id),
        "creation_time": SortKey(datetime, lambda group: group.create_time),
    },
    default_order=(Order("group_name"),),
    keys={"group_name": Key("group_name"), "group_type": Key("group_type", int), "id": Key("id", int)},
)
_FOUND: Listing[UserGroup] = replace(_LISTING, name="found user groups", keys={})


@dataclass(frozen=True, slots=True)
class NewUserGroup:
    """A group to be created.

    Attributes:
        name: unique among the groups of its type.
        type: 2 HTTP or 3 OIDC.
        ldap_group_dn: of groups of LDAP only.

    Raises:
        DomainError: BAD_REQUEST; a group of LDAP, which no directory has, or a name that only those have.
    """

    name: str
    type: GroupType
    ldap_group_dn: str = ""

    def __post_init__(self) -> None:
        if self.type == LDAP_GROUP:
            # Harbor's text. It looks the group up in the directory, and there is none.
            raise Invalid(
                message=f"LDAP Group DN is not found: DN:{self.ldap_group_dn}",
                violations=[FieldViolation("ldap_group_dn", "is not found")],
            )
        if self.ldap_group_dn:
            raise Invalid.of_field("ldap_group_dn", "belongs to groups of LDAP only")


async def create_user_group(
    ports: Ports, requester: Requester, new: NewUserGroup, *, key: IdempotencyKey | None = None
) -> UserGroup:
    """Creates a group without users. A repeat with the same idempotency key answers with the first call's group.

    Raises:
        DomainError: CONFLICT, the name is taken, or the key was used for another request; UNAUTHORIZED.
    """

    async def work() -> UserGroup:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                made = await unit.user_groups.get(first.made_id)
                if made is None:
                    raise made_is_gone()
                return made
            group_id = await unit.user_groups.add(
                name=new.name, group_type=new.type, ldap_group_dn=new.ldap_group_dn, now=now
            )
            if group_id is None:
                raise _duplicate(new.name, new.type, new.ldap_group_dn)
            await unit.idempotency.remember(key, group_id)
            group = await existing_group(unit, group_id)
            unit.record(change_of(ChangeKind.USER_GROUP_CREATED, requester.origin, now, new=group))
            await unit.commit()
        _log.info("user_group_created", group_id=group_id, group=group.name, actor=str(requester.origin.actor))
        return group

    return await ports.store.repeat(work)


async def get_user_group(ports: Ports, group_id: int) -> UserGroup:
    """Reads a group. The interceptor has already checked "user-group:read".

    Raises:
        DomainError: USER_GROUP_UNKNOWN.
    """
    async with ports.store.read() as unit:
        return await existing_group(unit, group_id)


async def list_user_groups(
    ports: Ports, request: ListRequest, *, name: str = "", ldap_group_dn: str = ""
) -> Page[UserGroup]:
    """Lists groups, by default in the order of their names. `name` is a part of theirs.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN.
    """
    fixed: tuple[Clause, ...] = (Fuzzy("group_name", name),) if name else ()
    if ldap_group_dn:
        fixed = (*fixed, Exact("ldap_group_dn", normal_dn(ldap_group_dn)))
    async with ports.store.read() as unit:
        return await _page(unit, _LISTING, request, fixed, scope=(name, ldap_group_dn))


async def search_user_groups(ports: Ports, identity: Identity, request: ListRequest, name: str) -> Page[UserGroup]:
    """Finds groups by a part of their names, in the order of their names.

    Raises:
        DomainError: UNAUTHORIZED, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        await identify(unit, identity, ports.clock())
        return await _page(unit, _FOUND, request, (Fuzzy("group_name", name),), scope=(name,))


async def rename_user_group(
    ports: Ports,
    requester: Requester,
    group_id: int,
    name: str,
    *,
    group_type: int = 0,
    ldap_group_dn: str = "",
    etag: str = "",
) -> UserGroup:
    """Gives a group another name. Its type and its distinguished name must be those that it has, if they are given.

    Raises:
        DomainError: USER_GROUP_UNKNOWN; BAD_REQUEST, the type or the distinguished name would change; CONFLICT, the
            name is taken; PRECONDITION, another change came first.
    """

    async def work() -> UserGroup:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            group = await locked_group(unit, group_id)
            if group_type not in (0, group.type):
                raise Invalid.of_field("group_type", "of a group does not change")
            if ldap_group_dn and normal_dn(ldap_group_dn) != group.ldap_group_dn:
                raise Invalid.of_field("ldap_group_dn", "of a group does not change")
            if name == group.name:
                # Before the etag is checked: a caller that repeats a finished update still sends the old etag.
                return group
            check_etag(etag, group)
            changed = replace(group, name=name, version=group.version + 1)
            if not await unit.user_groups.update(changed, now):
                raise _duplicate(name, group.type, group.ldap_group_dn)
            unit.record(change_of(ChangeKind.USER_GROUP_CHANGED, requester.origin, now, old=group, new=changed))
            await unit.commit()
        _log.info("user_group_renamed", group_id=group_id, group=name, actor=str(requester.origin.actor))
        return changed

    return await ports.store.repeat(work)


async def delete_user_group(ports: Ports, requester: Requester, group_id: int) -> None:
    """Deletes a group. Its memberships in projects end, and its users keep only the roles of their own.

    Raises:
        DomainError: USER_GROUP_UNKNOWN.
    """

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            await identify(unit, requester.identity, now)
            group = await locked_group(unit, group_id)
            unit.revoke(await loss_of_group(unit, group_id))
            await unit.user_groups.remove(group_id)
            unit.record(change_of(ChangeKind.USER_GROUP_DELETED, requester.origin, now, old=group))
            await unit.commit()
        _log.info("user_group_deleted", group_id=group_id, group=group.name, actor=str(requester.origin.actor))

    await ports.store.repeat(work)


async def existing_group(unit: Unit, group_id: int) -> UserGroup:
    """Reads a group.

    Raises:
        DomainError: USER_GROUP_UNKNOWN.
    """
    group = await unit.user_groups.get(group_id)
    if group is None:
        raise NotFound("USER_GROUP_UNKNOWN")
    return group


async def locked_group(unit: Unit, group_id: int) -> UserGroup:
    """Reads a group, locked. Raises as `existing_group`."""
    group = await unit.user_groups.lock(group_id)
    if group is None:
        raise NotFound("USER_GROUP_UNKNOWN")
    return group


def normal_dn(ldap_group_dn: str) -> str:
    """A distinguished name as it is stored: Harbor compares them without the spaces around them, in lower case."""
    return ldap_group_dn.strip().lower()


async def _page(
    unit: Unit, listing: Listing[UserGroup], request: ListRequest, fixed: tuple[Clause, ...], scope: tuple[str, ...]
) -> Page[UserGroup]:
    return await listing.page(
        request,
        unit.user_groups.page,
        unit.user_groups.count,
        fixed=fixed,
        scope=scope,
    )


def _duplicate(name: str, group_type: int, ldap_group_dn: str) -> Conflict:
    # Harbor's text.
    return Conflict(
        message=f"duplicate user group, group name:{name}, group type: {group_type}, ldap group DN: {ldap_group_dn}"
    )
