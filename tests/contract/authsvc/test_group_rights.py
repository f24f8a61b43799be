"""What users may do by the roles of their groups."""

import asyncio
import re
from itertools import product

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2, project_service_pb2, user_service_pb2
from roadstead.auth.v1 import member_service_pb2 as member_pb
from roadstead.auth.v1 import user_group_service_pb2 as pb
from svckit.errors import Conflict, Denied, NotFound
from svckit.sql.database import Database
from tests.access.matrix import ACTIONS, MATRIX, RESOURCES
from tests.contract.metasvc.statements import sent_statements
from tests.harness.authsvc import ROLES, AuthService, Caller

TEAM = ProjectRef(name="team")


async def may(caller: Caller, permission: str, project: ProjectRef = TEAM) -> tuple[bool, bool]:
    resource, action = permission.split(":")
    request = access_service_pb2.CheckAccessRequest(project=project, resource=resource, action=action)
    answer = await caller.access.CheckAccess(request)
    return answer.allowed, answer.visible


async def roles_in(caller: Caller, project: ProjectRef = TEAM) -> list[int]:
    answer = await caller.projects.GetProject(project_service_pb2.GetProjectRequest(project=project))
    return list(answer.project.current_user_role_ids)


async def projects_of(caller: Caller) -> tuple[list[str], int]:
    answer = await caller.projects.ListProjects(project_service_pb2.ListProjectsRequest(with_total=True))
    return [project.name for project in answer.projects], answer.total_size


async def actions_of(caller: Caller, scope: str = "repository:team/app:pull,push,delete") -> set[str]:
    answer = await caller.registry_token(scope)
    return {action for access in answer.access for action in access.actions}


@pytest.mark.parametrize("role", ROLES)
async def test_a_group_gives_each_of_its_users_what_the_role_gives(authsvc: AuthService, role: str) -> None:
    bob, carol = await authsvc.user("bob"), await authsvc.user("carol")
    await authsvc.admin.make_project("team")
    await authsvc.admin.add_group("team", await authsvc.admin.make_group("crew", bob), role)
    pairs = list(product(RESOURCES, ACTIONS))
    # A caller's share of the places for calls is smaller than the matrix.
    few = asyncio.Semaphore(50)

    async def asked(resource: str, action: str) -> tuple[bool, bool]:
        async with few:
            return await may(bob, f"{resource}:{action}")

    held = await asyncio.gather(*(asked(resource, action) for resource, action in pairs))
    assert {pair for pair, (allowed, _) in zip(pairs, held, strict=True) if allowed} == MATRIX[role]
    assert {visible for _, visible in held} == {True}
    # Nobody else gets anything.
    assert await may(carol, "repository:pull") == (False, False)


async def test_rights_are_those_of_the_user_and_of_all_its_groups(authsvc: AuthService) -> None:
    bob = await authsvc.user("bob")
    project_id = await authsvc.admin.make_project("team")
    await authsvc.admin.make_project("other")
    assert await projects_of(bob) == (["library"], 1)
    one, two = [await authsvc.admin.make_group(name, bob) for name in ("one", "two")]
    await authsvc.admin.add_group("team", one, "limitedGuest")
    assert await actions_of(bob) == {"pull"}
    assert (await may(bob, "member:list")) == (False, True)
    await authsvc.admin.add_member("team", bob, "guest")
    assert (await may(bob, "member:list")) == (True, True)
    await authsvc.admin.add_group("team", two, "developer")
    assert await actions_of(bob) == {"pull", "push"}
    # Strongest first, and a role that two give comes once.
    assert await roles_in(bob) == [2, 3, 5]
    await authsvc.admin.add_group("team", await authsvc.admin.make_group("three", bob), "developer")
    assert await roles_in(bob) == [2, 3, 5]
    assert await projects_of(bob) == (["library", "team"], 2)
    request = access_service_pb2.ListAccessibleProjectsRequest(resource="repository", action="push")
    assert list((await bob.access.ListAccessibleProjects(request)).project_ids) == [project_id]
    listed = await bob.projects.ListProjects(project_service_pb2.ListProjectsRequest(q="name=team"))
    assert [list(project.current_user_role_ids) for project in listed.projects] == [[2, 3, 5]]
    held = await bob.users.ListCurrentUserPermissions(
        user_service_pb2.ListCurrentUserPermissionsRequest(scope="/project/team", relative=True)
    )
    assert {(each.resource, each.action) for each in held.permissions} == (
        {
            (resource.replace("project", ".") if resource == "project" else resource, action)
            for resource, action in MATRIX["developer"] | MATRIX["guest"]
        }
    )


async def test_what_ends_a_groups_role_ends_it_at_once_whatever_token_is_held(authsvc: AuthService) -> None:
    admin, bob = authsvc.admin, await authsvc.user("bob")
    await admin.make_project("team")
    group_id = await admin.make_group("crew", bob)

    async def assert_lost() -> None:
        # bob's token is the one of the beginning.
        assert await may(bob, "repository:pull") == (False, False)
        assert await actions_of(bob) == set()
        assert await projects_of(bob) == (["library"], 1)
        with pytest.raises(NotFound):
            await roles_in(bob)

    async def assert_held() -> None:
        assert await may(bob, "repository:push") == (True, True)
        assert await actions_of(bob) == {"pull", "push"}

    member_id = await admin.add_group("team", group_id, "developer")
    await assert_held()
    await admin.groups.RemoveUserGroupMember(pb.RemoveUserGroupMemberRequest(group_id=group_id, user_id=bob.id))
    await assert_lost()
    await admin.groups.AddUserGroupMember(pb.AddUserGroupMemberRequest(group_id=group_id, user_id=bob.id))
    await assert_held()
    await admin.members.DeleteMember(member_pb.DeleteMemberRequest(project=TEAM, member_id=member_id))
    await assert_lost()
    await admin.add_group("team", group_id, "developer")
    await assert_held()
    await admin.groups.DeleteUserGroup(pb.DeleteUserGroupRequest(group_id=group_id))
    await assert_lost()
    # A group that is made again under the name is another one.
    again = await admin.make_group("crew", bob)
    assert again > group_id
    await assert_lost()
    members = await admin.members.ListMembers(member_pb.ListMembersRequest(project=TEAM))
    assert [member.entity_type for member in members.members] == ["u"]


async def test_a_group_with_the_name_or_the_id_of_a_user_gives_that_user_nothing(authsvc: AuthService) -> None:
    bob, carol = await authsvc.user("bob"), await authsvc.user("carol")
    await authsvc.admin.make_project("team")
    groups = {name: await authsvc.admin.make_group(name) for name in ("first", "bob", "carol")}
    assert groups["bob"] == bob.id
    for group_id in groups.values():
        await authsvc.admin.add_group("team", group_id, "projectAdmin")
    # carol is in a group, so that groups are looked at for her, and the group is no member.
    await authsvc.admin.make_group("empty-handed", carol)
    for caller in (bob, carol):
        assert await may(caller, "repository:pull") == (False, False)
        assert await projects_of(caller) == (["library"], 1)
        assert await actions_of(caller) == set()


async def test_a_project_administrator_by_group_gives_what_a_project_administrator_gives(authsvc: AuthService) -> None:
    bob, carol, dora = [await authsvc.user(name) for name in ("bob", "carol", "dora")]
    await authsvc.admin.make_project("team")
    heads, staff = await authsvc.admin.make_group("heads", bob), await authsvc.admin.make_group("staff", carol)
    await authsvc.admin.add_group("team", heads, "projectAdmin")
    await authsvc.admin.add_group("team", staff, "maintainer")
    for role in ROLES:
        member_id = await bob.add_member("team", dora, role)
        await bob.members.DeleteMember(member_pb.DeleteMemberRequest(project=TEAM, member_id=member_id))
    await bob.make_robot("team", "ci", "repository:push", "member:create")
    # Whoever holds less gives nothing, to groups neither.
    with pytest.raises(Denied):
        await carol.add_member("team", dora, "limitedGuest")
    with pytest.raises(Denied):
        await carol.add_group("team", await authsvc.admin.make_group("more"), "limitedGuest")
    robot = await bob.make_robot("team", "hr", "member:create", "member:update", "repository:pull")
    machine = await authsvc.log_in(robot.name, robot.secret)
    with pytest.raises(Denied):
        await machine.add_group("team", await authsvc.admin.make_group("machines"), "guest")


async def test_a_group_is_deleted_while_it_becomes_a_member_and_nothing_of_it_stays(authsvc: AuthService) -> None:
    bob = await authsvc.user("bob")
    await authsvc.admin.make_project("team")
    for turn in range(4):
        group_id = await authsvc.admin.make_group(f"crew-{turn}", bob)
        results = await asyncio.gather(
            authsvc.admin.add_group("team", group_id, "guest"),
            authsvc.admin.groups.DeleteUserGroup(pb.DeleteUserGroupRequest(group_id=group_id)),
            return_exceptions=True,
        )
        assert not [
            each for each in results if isinstance(each, Exception) and not isinstance(each, NotFound | Conflict)
        ]
        assert await may(bob, "repository:pull") == (False, False)
    members = await authsvc.admin.members.ListMembers(member_pb.ListMembersRequest(project=TEAM))
    assert [member.entity_name for member in members.members] == ["admin"]


async def test_who_is_in_no_group_does_not_pay_for_groups(authsvc: AuthService) -> None:
    bob, carol = await authsvc.user("bob"), await authsvc.user("carol")
    await authsvc.admin.make_project("team")
    await authsvc.admin.add_member("team", bob, "guest")
    await authsvc.admin.add_group("team", await authsvc.admin.make_group("crew", carol), "guest")
    for caller, looks in ((bob, False), (carol, True)):
        with sent_statements("SELECT") as sent:
            assert await may(caller, "repository:pull") == (True, True)
        # The caller, and what it may do.
        assert len(sent) == 2
        assert ("user_group_member" in sent[1]) is looks
        with sent_statements("SELECT") as sent:
            assert await roles_in(caller) == [3]
        assert sum("user_group_member" in statement for statement in sent[1:]) <= (4 if looks else 1)


async def test_the_roles_of_groups_are_read_by_indexes(authsvc: AuthService, migrated_database: Database) -> None:
    carol = await authsvc.user("carol")
    await authsvc.admin.make_project("team")
    await authsvc.admin.add_group("team", await authsvc.admin.make_group("crew", carol), "guest")
    with sent_statements("SELECT") as sent:
        await may(carol, "repository:pull")
        await actions_of(carol)
        await roles_in(carol)
        await carol.projects.ListProjects(project_service_pb2.ListProjectsRequest())
    asked = [statement for statement in sent if "user_group_member" in statement]
    assert len(asked) >= 4
    async with migrated_database.read() as conn:
        if migrated_database.dialect != "sqlite":
            # With so few rows PostgreSQL would rather read all of them. So it may not, unless there is no index.
            for switch in ("enable_seqscan", "enable_bitmapscan"):
                await conn.exec_driver_sql(f"SET {switch} = off")
            for statement in asked:
                parts = re.split(r"%\(\w+\)s", statement)
                generic = parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], 1))
                plan = [str(row[0]) for row in await conn.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {generic}")]
                assert any("user_group_member" in step and "Index" in step for step in plan), (statement, plan)
                assert not [step for step in plan if "Seq Scan on" in step and "member" in step], "\n".join(
                    [statement, *plan]
                )
            return
        for statement in asked:
            values = (1,) * statement.count("?")
            rows = (await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)).mappings().all()
            steps = [str(row["detail"]) for row in rows]
            assert any(step.startswith("SEARCH user_group_member") for step in steps), (statement, steps)
            assert not [step for step in steps if step.startswith("SCAN") and "member" in step], (statement, steps)
