import asyncio

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import member_service_pb2 as pb
from roadstead.auth.v1 import robot_service_pb2, user_service_pb2
from svckit.errors import Conflict, Denied, Invalid, NotFound
from tests.harness.authsvc import ROLES, AuthService, Caller

TEAM = ProjectRef(name="team")


async def listed(caller: Caller, **fields: object) -> list[tuple[str, str]]:
    answer = await caller.members.ListMembers(pb.ListMembersRequest(project=TEAM, **fields))  # type: ignore[arg-type]
    return [(member.entity_name, member.role_name) for member in answer.members]


def create(role: int, **fields: object) -> pb.CreateMemberRequest:
    return pb.CreateMemberRequest(project=TEAM, role_id=role, **fields)  # type: ignore[arg-type]


async def test_members_are_made_by_id_or_by_name_and_read_back(authsvc: AuthService) -> None:
    alice, bob, carol = [await authsvc.user(name) for name in ("alice", "bob", "carol")]
    project_id = await alice.make_project("team")
    member = (await alice.members.CreateMember(create(2, member_user={"user_id": bob.id}))).member
    assert (member.project_id, member.entity_id, member.entity_type) == (project_id, bob.id, "u")
    assert (member.entity_name, member.role_id, member.role_name) == ("bob", 2, "developer")
    await alice.members.CreateMember(create(5, member_user={"username": "carol"}))
    assert await listed(bob) == [("alice", "projectAdmin"), ("bob", "developer"), ("carol", "limitedGuest")]
    assert await listed(bob, entity_name="AR") == [("carol", "limitedGuest")]
    read = await bob.members.GetMember(pb.GetMemberRequest(project=TEAM, member_id=member.id))
    assert read.member == member
    first = await alice.members.ListMembers(pb.ListMembersRequest(project=TEAM, page_size=2, with_total=True))
    assert first.total_size == 3
    assert await listed(alice, page_size=2, page_token=first.next_page_token) == [("carol", "limitedGuest")]
    with pytest.raises(Denied):
        await listed(carol)


async def test_one_user_is_a_member_once(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    request = create(3, member_user={"user_id": bob.id}, idempotency_key="r")
    answers = await asyncio.gather(*(alice.members.CreateMember(request) for _ in range(3)))
    assert len({answer.member.id for answer in answers}) == 1
    with pytest.raises(Conflict) as refused:
        await alice.members.CreateMember(create(2, member_user={"user_id": bob.id}))
    assert refused.value.message == "The project member specified already exist"


async def test_what_names_no_user_or_role_is_refused(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    for request, error in (
        (create(2), Invalid),
        (create(2, member_user={}, member_group={"group_type": 3}), Invalid),
        (create(2, member_user={"user_id": 1}, member_group={"id": 1}), Invalid),
        (create(2, member_group={"group_name": "crew"}), Invalid),
        (create(2, member_group={"group_name": "crew", "group_type": 4}), Invalid),
        (create(2, member_group={"group_name": "crew", "group_type": 3}), NotFound),
        (create(2, member_group={"id": 999}), NotFound),
        # The id of a user is none of a group.
        (create(2, member_group={"id": alice.id}), NotFound),
        (create(2, member_group={"ldap_group_dn": "cn=crew"}), NotFound),
        (create(2, member_user={"user_id": 999}), NotFound),
        (create(2, member_user={"username": "nobody"}), NotFound),
        (create(2, member_user={"user_id": 1, "username": "nobody"}), NotFound),
        (create(0, member_user={"user_id": 1}), Invalid),
        (create(6, member_user={"user_id": 1}), Invalid),
        (create(100, member_user={"user_id": 1}), Invalid),
    ):
        with pytest.raises(error):
            await alice.members.CreateMember(request)


async def test_a_role_changes_and_ends(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    member_id = await alice.add_member("team", bob, "guest")
    update = pb.UpdateMemberRequest(project=TEAM, member_id=member_id, role_id=4)
    with pytest.raises(Denied):
        await bob.members.UpdateMember(update)
    assert (await alice.members.UpdateMember(update)).member.role_name == "maintainer"
    assert ("bob", "maintainer") in await listed(alice)
    # Harbor has taken all rights away for a role that does not exist.
    for role in (-1, 0, 6, 100):
        with pytest.raises(Invalid):
            await alice.members.UpdateMember(pb.UpdateMemberRequest(project=TEAM, member_id=member_id, role_id=role))
    assert ("bob", "maintainer") in await listed(alice)
    # A membership is found in its own project only.
    await alice.make_project("other")
    other = ProjectRef(name="other")
    for call in (
        alice.members.GetMember(pb.GetMemberRequest(project=other, member_id=member_id)),
        alice.members.UpdateMember(pb.UpdateMemberRequest(project=other, member_id=member_id, role_id=1)),
        alice.members.DeleteMember(pb.DeleteMemberRequest(project=other, member_id=member_id)),
    ):
        with pytest.raises(NotFound):
            await call
    delete = pb.DeleteMemberRequest(project=TEAM, member_id=member_id)
    await alice.members.DeleteMember(delete)
    with pytest.raises(NotFound):
        await alice.members.DeleteMember(delete)
    with pytest.raises(NotFound):
        await listed(bob)


async def test_a_robot_that_holds_everything_gives_the_roles_of_guests(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    asked = robot_service_pb2.ListRobotPermissionsRequest()
    catalogue = (await alice.robots.ListRobotPermissions(asked)).catalogue.project
    created = await alice.make_robot("team", "hr", *(f"{each.resource}:{each.action}" for each in catalogue))
    robot = await authsvc.log_in(created.name, created.secret)
    member_id = await robot.add_member("team", bob, "limitedGuest")
    await robot.members.UpdateMember(pb.UpdateMemberRequest(project=TEAM, member_id=member_id, role_id=ROLES["guest"]))
    # The others hold something that no robot may have, such as repository:create.
    for role in ROLES.keys() - {"limitedGuest", "guest"}:
        with pytest.raises(Denied):
            await robot.members.UpdateMember(
                pb.UpdateMemberRequest(project=TEAM, member_id=member_id, role_id=ROLES[role])
            )


async def test_a_deleted_user_is_no_member(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    await alice.add_member("team", bob, "guest")
    await authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=bob.id))
    assert await listed(alice) == [("alice", "projectAdmin")]


async def test_nobody_gives_a_role_that_holds_more_than_they_do(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    # A robot may make members, and holds little else.
    created = await alice.make_robot("team", "hr", "member:create", "member:update", "member:list", "member:read")
    robot = await authsvc.log_in(created.name, created.secret)
    for role in ROLES:
        with pytest.raises(Denied):
            await robot.add_member("team", bob, role)
    member_id = await alice.add_member("team", bob, "limitedGuest")
    with pytest.raises(Denied):
        await robot.members.UpdateMember(pb.UpdateMemberRequest(project=TEAM, member_id=member_id, role_id=1))
    assert ("bob", "limitedGuest") in await listed(robot)


async def test_groups_are_members_beside_users_of_the_same_name_and_id(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    # Ids of users and groups count from 1, so these groups have the ids of the two users.
    first, second = [await authsvc.admin.make_group(name) for name in ("alice", "crew")]
    assert {first, second} == {1, alice.id}
    by_id = (await alice.members.CreateMember(create(3, member_group={"id": second}))).member
    by_name = create(2, member_group={"group_name": "alice", "group_type": 3})
    assert (await alice.members.CreateMember(by_name)).member.entity_id == first
    assert (by_id.entity_id, by_id.entity_type, by_id.entity_name) == (second, "g", "crew")
    assert await listed(alice) == [("alice", "projectAdmin"), ("alice", "developer"), ("crew", "guest")]
    for again in (by_name, create(5, member_group={"id": second})):
        with pytest.raises(Conflict) as refused:
            await alice.members.CreateMember(again)
        assert refused.value.message == "The project member specified already exist"
    # What is said twice must be the same.
    for mixed in (
        {"id": second, "group_name": "alice"},
        {"id": second, "group_type": 2},
        {"id": second, "ldap_group_dn": "x"},
    ):
        with pytest.raises(NotFound):
            await alice.members.CreateMember(create(2, member_group=mixed))
    # Each change is of its own row.
    update = pb.UpdateMemberRequest(project=TEAM, member_id=by_id.id, role_id=5)
    assert (await alice.members.UpdateMember(update)).member.entity_type == "g"
    await alice.members.DeleteMember(pb.DeleteMemberRequest(project=TEAM, member_id=by_id.id))
    assert await listed(alice) == [("alice", "projectAdmin"), ("alice", "developer")]


async def test_members_are_filtered_and_sorted(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team")
    await alice.add_member("team", bob, "guest")
    for name, role in (("crew", "guest"), ("ops", "developer")):
        await alice.add_group("team", await authsvc.admin.make_group(name), role)
    names = [name for name, _ in await listed(alice)]
    assert names == ["alice", "bob", "crew", "ops"]

    async def found(**fields: object) -> list[str]:
        return [name for name, _ in await listed(alice, **fields)]

    assert await found(entity_name="r") == ["crew"]
    assert await found(q="entity_type=g") == ["crew", "ops"]
    assert await found(q="entity_type=u,role_id=3") == ["bob"]
    assert await found(q="entity_name={ops bob}") == ["bob", "ops"]
    assert await found(q=f"entity_id={bob.id},entity_type=u") == ["bob"]
    assert await found(sort="-entity_name") == names[::-1]
    assert await found(sort="role_id,id") == ["alice", "ops", "bob", "crew"]
    assert await found(sort="-id", page_size=1, page=2) == ["crew"]
    for sort in ("-entity_name", "id", "-role_id"):
        pages, token = [], ""
        while True:
            answer = await alice.members.ListMembers(
                pb.ListMembersRequest(project=TEAM, sort=sort, page_size=1, page_token=token)
            )
            pages += [member.entity_name for member in answer.members]
            token = answer.next_page_token
            if not token:
                break
        assert pages == await found(sort=sort)
    for wrong in ({"q": "user_id=1"}, {"sort": "username"}, {"q": "entity_type=~u"}):
        with pytest.raises(Invalid):
            await listed(alice, **wrong)


async def test_two_creates_of_a_groups_membership_at_once_make_one(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    group_id = await authsvc.admin.make_group("crew")
    made = await asyncio.gather(
        *(alice.add_group("team", group_id, role) for role in ("guest", "developer", "guest")), return_exceptions=True
    )
    assert [type(each) for each in made if isinstance(each, Exception)] == [Conflict, Conflict]
    assert [name for name, _ in await listed(alice)] == ["alice", "crew"]
