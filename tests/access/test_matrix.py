"""Every role, every resource, every action: CheckAccess answers exactly as the matrix says."""

import asyncio

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2 as pb
from roadstead.auth.v1 import robot_service_pb2, user_service_pb2
from tests.access.matrix import ACTIONS, MATRIX, PUBLIC, RESOURCES, ROBOT_IN_PROJECT, ROBOT_ON_SYSTEM, ROLES
from tests.harness.authsvc import AuthService, Caller

EVERYTHING = frozenset((resource, action) for resource in RESOURCES for action in ACTIONS)
NOTHING: frozenset[tuple[str, str]] = frozenset()

PRIVATE = "private-project"
OPEN = "open-project"


async def allowed(caller: Caller, project: str) -> frozenset[tuple[str, str]]:
    """All that a caller may do in a project, asked one by one."""

    async def ask(resource: str, action: str) -> bool:
        answer = await caller.access.CheckAccess(
            pb.CheckAccessRequest(project=ProjectRef(name=project), resource=resource, action=action)
        )
        # A permission counts only in a project that the caller may see.
        assert answer.visible or not answer.allowed
        return bool(answer.allowed)

    pairs = sorted(EVERYTHING)
    answers: list[bool] = []
    # A few at a time: the server refuses calls above its limit.
    for start in range(0, len(pairs), 50):
        answers += await asyncio.gather(*(ask(*pair) for pair in pairs[start : start + 50]))
    return frozenset(pair for pair, answer in zip(pairs, answers, strict=True) if answer)


async def make_projects(authsvc: AuthService) -> None:
    await authsvc.admin.make_project(PRIVATE)
    await authsvc.admin.make_project(OPEN, public=True)


def test_the_matrix_is_whole() -> None:
    assert len(RESOURCES) == 22
    assert all(MATRIX[role] for role in (*ROLES, PUBLIC))
    assert MATRIX["maintainer"] < MATRIX["projectAdmin"]
    assert MATRIX["limitedGuest"] < MATRIX["guest"]


@pytest.mark.parametrize("role", ROLES)
async def test_a_member_may_what_its_role_allows(authsvc: AuthService, role: str) -> None:
    await make_projects(authsvc)
    member = await authsvc.user("member")
    await authsvc.admin.add_member(PRIVATE, member, role)
    await authsvc.admin.add_member(OPEN, member, role)
    assert await allowed(member, PRIVATE) == MATRIX[role]
    assert await allowed(member, OPEN) == MATRIX[role] | MATRIX[PUBLIC]


async def test_anybody_may_what_is_public_in_a_public_project_and_nothing_in_a_private_one(
    authsvc: AuthService,
) -> None:
    await make_projects(authsvc)
    outsider = await authsvc.user("outsider")
    for caller in (authsvc.anonymous, outsider):
        assert await allowed(caller, OPEN) == MATRIX[PUBLIC]
        assert await allowed(caller, PRIVATE) == NOTHING


async def test_a_role_in_one_project_is_none_in_another(authsvc: AuthService) -> None:
    await make_projects(authsvc)
    member = await authsvc.user("member")
    await authsvc.admin.make_project("elsewhere")
    await authsvc.admin.add_member("elsewhere", member, "projectAdmin")
    assert await allowed(member, PRIVATE) == NOTHING
    assert await allowed(member, OPEN) == MATRIX[PUBLIC]


async def test_a_system_administrator_may_everything_without_being_a_member(authsvc: AuthService) -> None:
    await make_projects(authsvc)
    second = await authsvc.user("second")
    await authsvc.admin.users.SetUserAdministrator(
        user_service_pb2.SetUserAdministratorRequest(user_id=second.id, administrator=True)
    )
    assert await allowed(second, PRIVATE) == EVERYTHING
    assert await allowed(second, OPEN) == EVERYTHING


async def test_a_robot_may_what_it_was_given_and_what_anybody_may(authsvc: AuthService) -> None:
    await make_projects(authsvc)
    created = await authsvc.admin.make_robot(PRIVATE, "ci", "repository:push", "tag:delete", "scan:stop")
    robot = await authsvc.log_in(created.name, created.secret)
    assert await allowed(robot, PRIVATE) == {("repository", "push"), ("tag", "delete"), ("scan", "stop")}
    assert await allowed(robot, OPEN) == MATRIX[PUBLIC]


async def test_whoever_creates_a_project_is_its_administrator(authsvc: AuthService) -> None:
    owner = await authsvc.user("owner")
    await owner.make_project("mine")
    assert await allowed(owner, "mine") == MATRIX["projectAdmin"]


async def test_a_robot_may_be_given_what_the_table_of_robots_lists_and_nothing_else(authsvc: AuthService) -> None:
    catalogue = (
        await authsvc.admin.robots.ListRobotPermissions(robot_service_pb2.ListRobotPermissionsRequest())
    ).catalogue
    assert {(each.resource, each.action) for each in catalogue.project} == ROBOT_IN_PROJECT
    assert {(each.resource, each.action) for each in catalogue.system} == ROBOT_ON_SYSTEM
