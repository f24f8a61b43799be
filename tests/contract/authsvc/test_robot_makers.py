"""Robots that make robots: never more than they hold themselves."""

from __future__ import annotations

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import robot_pb2, user_service_pb2
from roadstead.auth.v1 import robot_service_pb2 as pb
from roadstead.auth.v1.project_service_pb2 import DeleteProjectRequest, LookUpProjectRequest
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from svckit.errors import Denied, DomainError, NotFound, Unauthenticated
from tests.contract.metasvc.statements import sent_statements
from tests.harness.authsvc import AuthService, Caller, permission_group

PULL = "repository:pull"
PUSH = "repository:push"
CREATE = "robot:create"


async def log_in(authsvc: AuthService, created: robot_pb2.CreatedRobot) -> Caller:
    return await authsvc.log_in(created.name, created.secret)


async def refused(caller: Caller, name: str, *groups: robot_pb2.RobotPermission) -> str:
    """The reason of the refusal of a system robot with these permissions."""
    with pytest.raises(DomainError) as caught:
        await caller.make_system_robot(name, *groups)
    return caught.value.reason


async def test_a_chain_of_robots_holds_no_more_than_its_first(authsvc: AuthService) -> None:
    for name in ("one", "two"):
        await authsvc.admin.make_project(name)
    first = await log_in(
        authsvc,
        await authsvc.admin.make_system_robot(
            "first",
            permission_group("/", CREATE, "robot:read", "label:create"),
            permission_group("*", PULL, CREATE),
            permission_group("one", PUSH),
        ),
    )
    second_made = await first.make_system_robot(
        "second", permission_group("/", CREATE), permission_group("one", PULL, PUSH, CREATE)
    )
    second = await log_in(authsvc, second_made)
    for groups in (
        [permission_group("/", "label:create")],
        [permission_group("*", PULL)],
        [permission_group("one", PULL), permission_group("/", CREATE, "robot:delete")],
        [permission_group("one", "tag:delete")],
    ):
        assert await refused(second, "third", *groups) == "DENIED"
    third = await log_in(authsvc, await second.make_system_robot("third", permission_group("one", PUSH)))
    assert await refused(third, "fourth", permission_group("one", PUSH)) == "FORBIDDEN"
    robot = (await first.robots.GetRobot(pb.GetRobotRequest(robot_id=third.id))).robot
    assert (robot.creator_type, robot.creator_id) == ("robot", second.id)
    # In a single project, too: of one that the grant for every project reaches, and of none beyond.
    child = await first.make_robot("two", "child", PULL)
    assert child.name == "robot$two+child"
    with pytest.raises(Denied) as caught:
        await first.make_robot("two", "more", PULL, PUSH)
    assert caught.value.reason == "DENIED"
    # A project that second may not see is none for it.
    with pytest.raises(NotFound):
        await second.make_robot("two", "other", PULL)
    assert await refused(second, "x", permission_group("two", PULL)) == "PROJECT_UNKNOWN"
    assert await refused(second, "x", permission_group("nothing", PULL)) == "PROJECT_UNKNOWN"


async def test_what_is_denied_to_a_robot_cannot_be_had_through_another(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("closed")
    denied = permission_group("closed", f"{PULL}:deny")
    maker = await log_in(
        authsvc,
        await authsvc.admin.make_system_robot(
            "maker", permission_group("/", CREATE), permission_group("*", PULL), denied
        ),
    )
    assert await refused(maker, "a", permission_group("*", PULL)) == "DENIED"
    assert await refused(maker, "a", permission_group("closed", PULL)) == "DENIED"
    await maker.make_system_robot("a", permission_group("*", PULL), denied)


async def test_what_anybody_may_do_in_a_public_project_is_not_a_robots_to_give(authsvc: AuthService) -> None:
    maker = await log_in(
        authsvc,
        await authsvc.admin.make_system_robot(
            "maker", permission_group("/", CREATE), permission_group("library", PUSH)
        ),
    )
    # While library is public, maker may pull. A robot that it makes must not keep that when library is private.
    assert await refused(maker, "a", permission_group("library", PULL)) == "DENIED"


async def test_a_robot_stays_as_it_is_when_its_creator_goes_or_loses_rights(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    made = await alice.make_robot("team", "maker", CREATE, "robot:read", PULL)
    maker = await log_in(authsvc, made)
    child = await log_in(authsvc, await maker.make_robot("team", "child", PULL))
    fewer = robot_pb2.RobotPermissions(permissions=[permission_group("team", CREATE)])
    await alice.robots.UpdateRobot(pb.UpdateRobotRequest(robot_id=maker.id, permissions=fewer))
    assert (await child.registry_token("repository:team/app:pull")).access
    with pytest.raises(Denied):
        await maker.make_robot("team", "another", PULL)
    await alice.robots.DeleteRobot(pb.DeleteRobotRequest(robot_id=maker.id))
    assert (await child.registry_token("repository:team/app:pull")).access
    await authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=alice.id))
    assert (await child.registry_token("repository:team/app:pull")).access
    robot = (await authsvc.admin.robots.GetRobot(pb.GetRobotRequest(robot_id=child.id))).robot
    assert (robot.creator_type, robot.creator_id) == ("robot", made.id)
    with pytest.raises(Unauthenticated):
        await maker.make_robot("team", "another", CREATE)


async def test_what_an_administrator_holds_is_read_once_for_all_projects(authsvc: AuthService) -> None:
    names = [f"team-{number}" for number in range(9)]
    for name in names:
        await authsvc.admin.make_project(name)
    with sent_statements("SELECT") as sent:
        await authsvc.admin.make_system_robot("ci", *(permission_group(name, PULL) for name in names))
    # Once more for the permission to create robots.
    assert len([statement for statement in sent if "FROM role_permission" in statement]) == 2


async def test_the_catalogue_is_for_those_who_create_robots(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("team", public=True)
    await alice.add_member("team", bob, "maintainer")

    async def catalogue(caller: Caller) -> tuple[set[str], set[str]]:
        answer = (await caller.robots.ListRobotPermissions(pb.ListRobotPermissionsRequest())).catalogue
        system, project = (
            {f"{each.resource}:{each.action}" for each in level} for level in (answer.system, answer.project)
        )
        return system, project

    system, project = await catalogue(authsvc.admin)
    assert (len(system), len(project)) == (SYSTEM_PERMISSIONS, PROJECT_PERMISSIONS)
    assert {"audit-log:list", "garbage-collection:stop", "ldap-user:create"} <= system
    assert {"repository:push", "robot:delete", "metadata:list"} <= project
    assert not {"immutable-tag:read", "robot:update"} & project
    assert await catalogue(alice) == (set(), project)
    small = await log_in(authsvc, await alice.make_robot("team", "ci", PULL))
    for caller in (bob, small):
        with pytest.raises(Denied):
            await catalogue(caller)
    with pytest.raises(Unauthenticated):
        await catalogue(authsvc.anonymous)
    maker = await log_in(authsvc, await alice.make_robot("team", "maker", CREATE))
    assert await catalogue(maker) == (set(), project)
    wide = await log_in(authsvc, await authsvc.admin.make_system_robot("wide", permission_group("*", CREATE)))
    narrow = await log_in(authsvc, await authsvc.admin.make_system_robot("narrow", permission_group("*", PULL)))
    async with authsvc.service_channel("metasvc") as channel:
        for name in ("team", "library"):
            found = await ProjectServiceStub(channel).LookUpProject(LookUpProjectRequest(project=ProjectRef(name=name)))
            await ProjectServiceStub(channel).DeleteProject(
                DeleteProjectRequest(project_id=found.project.id), metadata=authsvc.admin.metadata
            )
    assert await catalogue(wide) == (set(), project)
    with pytest.raises(Denied):
        await catalogue(narrow)


# Counted by hand in Harbor's catalogue.
SYSTEM_PERMISSIONS = 1 + 5 + 5 + 5 + 5 + 2 + 3 + 1 + 4 + 5 + 5 + 1 + 1 + 2 + 4 + 2 + 3 + 4 + 5 + 5 + 2
PROJECT_PERMISSIONS = 1 + 3 + 5 + 6 + 4 + 3 + 3 + 3 + 1 + 1 + 2 + 2 + 5 + 5 + 5 + 5 + 4 + 1 + 4 + 2 + 5
