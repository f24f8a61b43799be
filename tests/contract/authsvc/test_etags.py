"""Every update takes an etag, and changes only what it names. On both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import member_service_pb2, project_service_pb2, robot_pb2, robot_service_pb2, user_service_pb2
from svckit.errors import Invalid, Precondition
from tests.harness.authsvc import ROLES, AuthService, Caller, permission_group

TEAM = ProjectRef(name="team")


@dataclass
class Update:
    """One kind of update: how to read what it changes, and how to change it to one of two states and back.

    Attributes:
        read: the message, which shows its etag.
        send: one of two different changes, by 0 or 1, with an etag; gives the message that is answered.
    """

    read: Callable[[], Awaitable[Any]]
    send: Callable[[int, str], Awaitable[Any]]


async def update_project(_authsvc: AuthService, alice: Caller) -> Update:
    async def read() -> Any:
        return (await alice.projects.GetProject(project_service_pb2.GetProjectRequest(project=TEAM))).project

    async def send(state: int, etag: str) -> Any:
        request = project_service_pb2.UpdateProjectRequest(
            project=TEAM, metadata={"severity": ("low", "high")[state]}, etag=etag
        )
        return (await alice.projects.UpdateProject(request)).project

    return Update(read, send)


async def update_member(authsvc: AuthService, alice: Caller) -> Update:
    member_id = await alice.add_member("team", await authsvc.user("bob"), "guest")

    async def read() -> Any:
        request = member_service_pb2.GetMemberRequest(project=TEAM, member_id=member_id)
        return (await alice.members.GetMember(request)).member

    async def send(state: int, etag: str) -> Any:
        role = ROLES[("developer", "maintainer")[state]]
        request = member_service_pb2.UpdateMemberRequest(project=TEAM, member_id=member_id, role_id=role, etag=etag)
        return (await alice.members.UpdateMember(request)).member

    return Update(read, send)


async def update_robot(_authsvc: AuthService, alice: Caller) -> Update:
    robot_id = (await alice.make_robot("team", "ci", "repository:pull")).id

    async def read() -> Any:
        return (await alice.robots.GetRobot(robot_service_pb2.GetRobotRequest(robot_id=robot_id))).robot

    async def send(state: int, etag: str) -> Any:
        request = robot_service_pb2.UpdateRobotRequest(robot_id=robot_id, description="xy"[state], etag=etag)
        return (await alice.robots.UpdateRobot(request)).robot

    return Update(read, send)


def of_users(
    request: Callable[[int, int, str], Any], method: str
) -> Callable[[AuthService, Caller], Awaitable[Update]]:
    async def update(authsvc: AuthService, _alice: Caller) -> Update:
        bob = await authsvc.user("bob")

        async def read() -> Any:
            return (await authsvc.admin.users.GetUser(user_service_pb2.GetUserRequest(user_id=bob.id))).user

        async def send(state: int, etag: str) -> Any:
            return (await getattr(authsvc.admin.users, method)(request(bob.id, state, etag))).user

        return Update(read, send)

    return update


update_user = of_users(
    lambda user_id, state, etag: user_service_pb2.UpdateUserRequest(user_id=user_id, comment="xy"[state], etag=etag),
    "UpdateUser",
)
set_disabled = of_users(
    lambda user_id, state, etag: user_service_pb2.SetUserDisabledRequest(
        user_id=user_id, disabled=state == 0, etag=etag
    ),
    "SetUserDisabled",
)
set_administrator = of_users(
    lambda user_id, state, etag: user_service_pb2.SetUserAdministratorRequest(
        user_id=user_id, administrator=state == 0, etag=etag
    ),
    "SetUserAdministrator",
)


@pytest.fixture
async def alice(authsvc: AuthService) -> Caller:
    """A user with a project "team"."""
    caller = await authsvc.user("alice")
    await caller.make_project("team")
    return caller


@pytest.fixture(
    params=[update_project, update_member, update_robot, update_user, set_disabled, set_administrator],
    ids=["project", "member", "robot", "user", "disabled", "administrator"],
)
async def update(request: pytest.FixtureRequest, authsvc: AuthService, alice: Caller) -> Update:
    """Each kind of update."""
    made: Update = await request.param(authsvc, alice)
    return made


async def test_an_update_with_the_etag_of_now_takes_place_and_gives_a_new_one(update: Update) -> None:
    before = await update.read()
    changed = await update.send(0, before.etag)
    assert changed.etag not in ("", before.etag)
    assert await update.read() == changed
    assert (await update.send(1, changed.etag)).etag not in (before.etag, changed.etag)


async def test_an_update_with_an_earlier_etag_is_refused_and_changes_nothing(update: Update) -> None:
    before = await update.read()
    changed = await update.send(0, "")
    with pytest.raises(Precondition) as refused:
        await update.send(1, before.etag)
    assert [violation.field for violation in refused.value.violations] == ["etag"]
    assert await update.read() == changed


async def test_without_an_etag_whatever_is_there_is_changed(update: Update) -> None:
    for state in (0, 1, 0):
        await update.send(state, "")


async def test_a_repeat_of_what_has_been_done_answers_as_the_first_call_did(update: Update) -> None:
    before = await update.read()
    first = await update.send(0, before.etag)
    assert await update.send(0, before.etag) == first
    assert await update.read() == first


async def test_updates_that_race_with_one_etag_are_not_both_done(authsvc: AuthService, alice: Caller) -> None:
    project = (await alice.projects.GetProject(project_service_pb2.GetProjectRequest(project=TEAM))).project
    answers = await asyncio.gather(
        *(
            alice.projects.UpdateProject(
                project_service_pb2.UpdateProjectRequest(
                    project=TEAM, metadata={"proxy_speed_kb": str(number)}, etag=project.etag
                )
            )
            for number in range(5)
        ),
        return_exceptions=True,
    )
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert all(isinstance(answer, Precondition) for answer in answers if isinstance(answer, BaseException))
    now = (await alice.projects.GetProject(project_service_pb2.GetProjectRequest(project=TEAM))).project
    assert now == won[0].project


async def test_what_a_request_does_not_name_stays(authsvc: AuthService, alice: Caller) -> None:
    created = await alice.make_robot("team", "ci", "repository:pull", description="builds", duration_days=7)
    get_robot = robot_service_pb2.GetRobotRequest(robot_id=created.id)
    before = (await alice.robots.GetRobot(get_robot)).robot
    empty = robot_service_pb2.UpdateRobotRequest(robot_id=created.id)
    assert (await alice.robots.UpdateRobot(empty)).robot == before
    profile = user_service_pb2.UpdateUserRequest(user_id=alice.id, realname="Alice", comment="x")
    user = (await alice.users.UpdateUser(profile)).user
    assert (await alice.users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=alice.id))).user == user
    settings = project_service_pb2.UpdateProjectRequest(project=TEAM, public=True, metadata={"severity": "high"})
    project = (await alice.projects.UpdateProject(settings)).project
    nothing = project_service_pb2.UpdateProjectRequest(project=TEAM)
    assert (await alice.projects.UpdateProject(nothing)).project == project


async def test_permissions_that_are_left_out_stay_and_an_empty_list_is_refused(alice: Caller) -> None:
    created = await alice.make_robot("team", "ci", "repository:pull")
    disable = robot_service_pb2.UpdateRobotRequest(robot_id=created.id, disabled=True)
    robot = (await alice.robots.UpdateRobot(disable)).robot
    assert (robot.disabled, list(robot.permissions)) == (True, [permission_group("team", "repository:pull")])
    with pytest.raises(Invalid):
        await alice.robots.UpdateRobot(
            robot_service_pb2.UpdateRobotRequest(robot_id=created.id, permissions=robot_pb2.RobotPermissions())
        )


async def test_a_new_secret_or_password_is_a_change_too(authsvc: AuthService, alice: Caller) -> None:
    created = await alice.make_robot("team", "ci", "repository:pull")
    robot = (await alice.robots.GetRobot(robot_service_pb2.GetRobotRequest(robot_id=created.id))).robot
    await alice.robots.RefreshRobotSecret(robot_service_pb2.RefreshRobotSecretRequest(robot_id=created.id))
    with pytest.raises(Precondition):
        await alice.robots.UpdateRobot(
            robot_service_pb2.UpdateRobotRequest(robot_id=created.id, disabled=True, etag=robot.etag)
        )
    user = (await alice.users.GetCurrentUser(user_service_pb2.GetCurrentUserRequest())).user
    await authsvc.admin.users.ChangeUserPassword(
        user_service_pb2.ChangeUserPasswordRequest(user_id=alice.id, new_password="Battery-staple-2")
    )
    with pytest.raises(Precondition):
        await alice.users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=alice.id, comment="x", etag=user.etag))
