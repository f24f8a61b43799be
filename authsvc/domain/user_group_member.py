"""Which users are in which groups.

A user in a group has the group's roles in projects (`store.role`). Today administrators put users into groups. The
log-in by an identity provider will replace a user's groups of that provider's type by those that the provider names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import GroupMember, Requester
from authsvc.domain.revocation import loss_of_group
from authsvc.domain.user import find_user
from authsvc.domain.user_group import existing_group, locked_group
from svckit.errors import Denied, NotFound
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.query import Exact, Order

if TYPE_CHECKING:
    from datetime import datetime

    from authsvc.domain.bundle import Ports
    from authsvc.domain.rows import Unit

_log = get_logger(__name__)

_LISTING: Listing[GroupMember] = Listing(
    name="users of a group",
    sort_keys={"user_id": SortKey(int, lambda member: member.user_id)},
    default_order=(Order("user_id"),),
    unique_key="user_id",
)


async def add_group_member(
    ports: Ports, requester: Requester, group_id: int, *, user_id: int = 0, username: str = ""
) -> GroupMember:
    """Takes a user, who is given by id or by name, into a group. Changes nothing if the user is in it already.

    Raises:
        DomainError: USER_GROUP_UNKNOWN, USER_UNKNOWN; BAD_REQUEST, no user is given; FORBIDDEN, the caller is not an
            administrator.
    """

    async def work() -> GroupMember:
        now = ports.clock()
        async with ports.store.write() as unit:
            await _require_administrator(unit, requester, now)
            group = await locked_group(unit, group_id)
            user = await find_user(unit, user_id, username, "user_id")
            if await unit.user_groups.add_member(group_id, user.id, now):
                added = GroupMember(group_id, user.id, user.username, now)
                kind = ChangeKind.USER_GROUP_MEMBER_ADDED
                unit.record(change_of(kind, requester.origin, now, new=added, name=group.name))
                await unit.commit()
                _log.info(kind.value, group_id=group_id, user_id=user.id, actor=str(requester.origin.actor))
                return added
            return await _existing(unit, group_id, user.id)

    return await ports.store.repeat(work)


async def list_group_members(ports: Ports, group_id: int, request: ListRequest) -> Page[GroupMember]:
    """Lists the users of a group. The interceptor has already checked "user-group:read".

    Raises:
        DomainError: USER_GROUP_UNKNOWN, INVALID_PAGE_TOKEN.
    """
    async with ports.store.read() as unit:
        await existing_group(unit, group_id)
        return await _LISTING.page(
            request,
            unit.user_groups.member_page,
            unit.user_groups.member_count,
            fixed=(Exact("group_id", group_id),),
            scope=(group_id,),
        )


async def remove_group_member(ports: Ports, requester: Requester, group_id: int, user_id: int) -> None:
    """Takes a user out of a group.

    Raises:
        DomainError: USER_GROUP_UNKNOWN; USER_UNKNOWN, the user is not in the group; FORBIDDEN, the caller is not an
            administrator.
    """

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            await _require_administrator(unit, requester, now)
            group = await locked_group(unit, group_id)
            member = await _existing(unit, group_id, user_id)
            unit.revoke(await loss_of_group(unit, group_id, (user_id,)))
            await unit.user_groups.remove_member(group_id, user_id)
            kind = ChangeKind.USER_GROUP_MEMBER_REMOVED
            unit.record(change_of(kind, requester.origin, now, old=member, name=group.name))
            await unit.commit()
        _log.info(kind.value, group_id=group_id, user_id=user_id, actor=str(requester.origin.actor))

    await ports.store.repeat(work)


async def _require_administrator(unit: Unit, requester: Requester, now: datetime) -> None:
    # A group may have any role in any project. So nobody else can be sure to give no more than they hold.
    if not (await identify(unit, requester.identity, now)).is_administrator:
        raise Denied(message="only administrators say who is in a group")


async def _existing(unit: Unit, group_id: int, user_id: int) -> GroupMember:
    member = await unit.user_groups.member(group_id, user_id)
    if member is None:
        raise NotFound("USER_UNKNOWN", "the user is not in this group")
    return member
