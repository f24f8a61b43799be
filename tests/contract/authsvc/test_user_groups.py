import asyncio
from datetime import UTC, datetime

import pytest

from authsvc.domain.model import LDAP_GROUP
from authsvc.store.unit_of_work import SqlStore
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import member_service_pb2, user_service_pb2
from roadstead.auth.v1 import user_group_service_pb2 as pb
from roadstead.auth.v1.member_pb2 import MemberGroup
from svckit.errors import Conflict, Denied, Invalid, NotFound, Precondition, Unauthenticated
from tests.harness.authsvc import AuthService, Caller, permission_group


def create(name: str = "crew", group_type: int = 3, **fields: str) -> pb.CreateUserGroupRequest:
    return pb.CreateUserGroupRequest(group_name=name, group_type=group_type, **fields)


async def listed(caller: Caller, **fields: object) -> tuple[list[str], int, str]:
    answer = await caller.groups.ListUserGroups(pb.ListUserGroupsRequest(with_total=True, **fields))  # type: ignore[arg-type]
    return [group.group_name for group in answer.user_groups], answer.total_size, answer.next_page_token


async def users_of(caller: Caller, group_id: int, **fields: object) -> tuple[list[str], int, str]:
    request = pb.ListUserGroupMembersRequest(group_id=group_id, with_total=True, **fields)  # type: ignore[arg-type]
    answer = await caller.groups.ListUserGroupMembers(request)
    return [member.username for member in answer.members], answer.total_size, answer.next_page_token


async def test_a_group_is_made_read_renamed_and_deleted(authsvc: AuthService) -> None:
    groups = authsvc.admin.groups
    made = (await groups.CreateUserGroup(create())).user_group
    assert (made.group_name, made.group_type, made.ldap_group_dn) == ("crew", 3, "")
    assert (await groups.GetUserGroup(pb.GetUserGroupRequest(group_id=made.id))).user_group == made
    rename = pb.UpdateUserGroupRequest(group_id=made.id, group_name="team", group_type=3, etag=made.etag)
    renamed = (await groups.UpdateUserGroup(rename)).user_group
    assert (renamed.id, renamed.group_name) == (made.id, "team")
    assert renamed.etag != made.etag
    # A repeat is safe, and another change by the old etag is not.
    assert (await groups.UpdateUserGroup(rename)).user_group == renamed
    with pytest.raises(Precondition):
        await groups.UpdateUserGroup(pb.UpdateUserGroupRequest(group_id=made.id, group_name="x", etag=made.etag))
    for other in ({"group_type": 2}, {"ldap_group_dn": "cn=x"}):
        with pytest.raises(Invalid):
            await groups.UpdateUserGroup(pb.UpdateUserGroupRequest(group_id=made.id, group_name="x", **other))
    await groups.DeleteUserGroup(pb.DeleteUserGroupRequest(group_id=made.id))
    for call in (
        groups.GetUserGroup(pb.GetUserGroupRequest(group_id=made.id)),
        groups.UpdateUserGroup(pb.UpdateUserGroupRequest(group_id=made.id, group_name="x")),
        groups.DeleteUserGroup(pb.DeleteUserGroupRequest(group_id=made.id)),
        groups.ListUserGroupMembers(pb.ListUserGroupMembersRequest(group_id=made.id)),
        groups.AddUserGroupMember(pb.AddUserGroupMemberRequest(group_id=made.id, user_id=1)),
        groups.RemoveUserGroupMember(pb.RemoveUserGroupMemberRequest(group_id=made.id, user_id=1)),
    ):
        with pytest.raises(NotFound):
            await call
    # Its id is never another group's, because tokens and logs may name it.
    assert (await groups.CreateUserGroup(create())).user_group.id > made.id


async def test_a_name_is_taken_once_in_each_type_also_at_the_same_moment(authsvc: AuthService) -> None:
    groups = authsvc.admin.groups
    made = await asyncio.gather(*(groups.CreateUserGroup(create()) for _ in range(3)), return_exceptions=True)
    refusals = [each for each in made if isinstance(each, Exception)]
    assert [type(each) for each in refusals] == [Conflict, Conflict]
    assert str(refusals[0]).endswith("duplicate user group, group name:crew, group type: 3, ldap group DN: ")
    other = (await groups.CreateUserGroup(create(group_type=2))).user_group
    await groups.CreateUserGroup(create("ops", 2))
    with pytest.raises(Conflict):
        await groups.UpdateUserGroup(pb.UpdateUserGroupRequest(group_id=other.id, group_name="ops"))
    assert await listed(authsvc.admin) == (["crew", "crew", "ops"], 3, "")
    same = create("keyed", idempotency_key="k")
    answers = await asyncio.gather(*(groups.CreateUserGroup(same) for _ in range(3)))
    assert len({answer.user_group.id for answer in answers}) == 1


@pytest.mark.parametrize(
    "request_, text",
    [
        # Harbor looks a group of LDAP up, and finds none without a directory.
        (create(group_type=1, ldap_group_dn="cn=crew"), "LDAP Group DN is not found: DN:cn=crew"),
        (create(group_type=1), "LDAP Group DN is not found: DN:"),
        (create(group_type=0), "group_type"),
        (create(group_type=4), "group_type"),
        (create(ldap_group_dn="cn=crew"), "ldap_group_dn"),
        (create(""), "group_name"),
        (create("a" * 256), "group_name"),
        (create("a\nb"), "group_name"),
    ],
)
async def test_what_breaks_a_rule_is_refused(
    authsvc: AuthService, request_: pb.CreateUserGroupRequest, text: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await authsvc.admin.groups.CreateUserGroup(request_)
    assert text in (caught.value.message, caught.value.violations[0].field)
    assert await listed(authsvc.admin) == ([], 0, "")


async def test_groups_are_listed_in_pages(authsvc: AuthService) -> None:
    for name, group_type in (("ops", 3), ("crew", 2), ("Crowd", 3)):
        await authsvc.admin.make_group(name, group_type=group_type)
    admin = authsvc.admin
    assert await listed(admin) == (["Crowd", "crew", "ops"], 3, "")
    assert await listed(admin, group_name="CR") == (["Crowd", "crew"], 2, "")
    assert await listed(admin, q="group_type=3", sort="-group_name") == (["ops", "Crowd"], 2, "")
    assert await listed(admin, sort="-creation_time") == (["Crowd", "crew", "ops"], 3, "")
    assert await listed(admin, ldap_group_dn="cn=crew") == ([], 0, "")
    names, total, token = await listed(admin, page_size=2)
    assert (names, total) == (["Crowd", "crew"], 3)
    assert await listed(admin, page_size=2, page_token=token) == (["ops"], 3, "")
    assert await listed(admin, page_size=2, page=2) == (["ops"], 3, "")
    for wrong in ({"q": "name=crew"}, {"sort": "type"}, {"group_name": "c", "page_token": token}):
        with pytest.raises(Invalid):
            await listed(admin, **wrong)


async def test_a_group_of_ldap_is_found_by_its_distinguished_name(authsvc: AuthService, auth_store: SqlStore) -> None:
    # As the log-in by LDAP will make it.
    async with auth_store.write() as unit:
        group_id = await unit.user_groups.add(
            name="crew", group_type=LDAP_GROUP, ldap_group_dn="cn=crew,dc=example", now=datetime.now(UTC)
        )
        await unit.commit()
    assert await listed(authsvc.admin, ldap_group_dn=" CN=crew,DC=example ") == (["crew"], 1, "")
    await authsvc.admin.make_project("team")
    request = member_service_pb2.CreateMemberRequest(
        project=ProjectRef(name="team"), role_id=2, member_group=MemberGroup(ldap_group_dn="CN=crew,DC=example")
    )
    assert (await authsvc.admin.members.CreateMember(request)).member.entity_id == group_id


async def test_users_come_into_a_group_and_leave_it(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    groups = authsvc.admin.groups
    group_id, other = await authsvc.admin.make_group("crew"), await authsvc.admin.make_group("ops")
    added = (await groups.AddUserGroupMember(pb.AddUserGroupMemberRequest(group_id=group_id, username="bob"))).member
    assert (added.group_id, added.user_id, added.username) == (group_id, bob.id, "bob")
    by_id = pb.AddUserGroupMemberRequest(group_id=group_id, user_id=alice.id)
    answers = await asyncio.gather(*(groups.AddUserGroupMember(by_id) for _ in range(3)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert await users_of(authsvc.admin, group_id) == (["alice", "bob"], 2, "")
    names, _, token = await users_of(authsvc.admin, group_id, page_size=1)
    assert names == ["alice"]
    assert await users_of(authsvc.admin, group_id, page_size=1, page_token=token) == (["bob"], 2, "")
    assert await users_of(authsvc.admin, other) == ([], 0, "")
    with pytest.raises(Invalid):
        await users_of(authsvc.admin, other, page_token=token)
    remove = pb.RemoveUserGroupMemberRequest(group_id=group_id, user_id=bob.id)
    with pytest.raises(NotFound):
        await groups.RemoveUserGroupMember(pb.RemoveUserGroupMemberRequest(group_id=other, user_id=bob.id))
    await groups.RemoveUserGroupMember(remove)
    with pytest.raises(NotFound):
        await groups.RemoveUserGroupMember(remove)
    await authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=alice.id))
    assert await users_of(authsvc.admin, group_id) == ([], 0, "")
    for fields, error in (
        ({}, Invalid),
        ({"user_id": 999}, NotFound),
        ({"username": "nobody"}, NotFound),
        ({"user_id": 1, "username": "bob"}, NotFound),
    ):
        with pytest.raises(error):
            await groups.AddUserGroupMember(pb.AddUserGroupMemberRequest(group_id=group_id, **fields))


async def test_only_administrators_say_who_is_in_a_group(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    group_id = await authsvc.admin.make_group("crew", bob)
    created = await authsvc.admin.make_system_robot(
        "hr",
        permission_group("/", *(f"user-group:{action}" for action in ("create", "read", "update", "delete", "list"))),
    )
    robot = await authsvc.log_in(created.name, created.secret)
    await robot.groups.UpdateUserGroup(pb.UpdateUserGroupRequest(group_id=group_id, group_name="team"))
    assert (await listed(robot))[0] == ["team"]
    # Another name moves nobody: its users are those of its id.
    assert (await users_of(authsvc.admin, group_id))[0] == ["bob"]
    add = pb.AddUserGroupMemberRequest(group_id=group_id, user_id=alice.id)
    remove = pb.RemoveUserGroupMemberRequest(group_id=group_id, user_id=alice.id)
    # The group may have any role anywhere, so the robot would give more than it holds.
    for caller in (robot, alice):
        with pytest.raises(Denied):
            await caller.groups.AddUserGroupMember(add)
        with pytest.raises(Denied):
            await caller.groups.RemoveUserGroupMember(remove)
    assert (await users_of(authsvc.admin, group_id))[0] == ["bob"]
    # Groups can be named by everybody who has logged in, and their users cannot be seen.
    found = await alice.groups.SearchUserGroups(pb.SearchUserGroupsRequest(group_name="EA", with_total=True))
    assert ([(group.id, group.group_name, group.group_type) for group in found.user_groups], found.total_size) == (
        [(group_id, "team", 3)],
        1,
    )
    with pytest.raises(Denied):
        await users_of(alice, group_id)
    with pytest.raises(Invalid):
        await alice.groups.SearchUserGroups(pb.SearchUserGroupsRequest())
    with pytest.raises(Unauthenticated):
        await authsvc.anonymous.groups.SearchUserGroups(pb.SearchUserGroupsRequest(group_name="team"))
