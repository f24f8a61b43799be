"""Harbor's older requests for the robots of a project."""

from __future__ import annotations

import time

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import robot_pb2
from roadstead.auth.v1 import robot_service_pb2 as pb
from svckit.errors import Denied, Invalid, NotFound
from tests.harness.authsvc import AuthService, Caller, permission_group

PULL = "repository:pull"


async def create(caller: Caller, project: ProjectRef, project_id: int, **fields: object) -> robot_pb2.CreatedRobot:
    access = [robot_pb2.RobotAccess(resource=f"/project/{project_id}/repository", action="pull")]
    given = {"project": project, "name": "ci", "access": access, **fields}
    answer = await caller.robots.CreateProjectRobot(pb.CreateProjectRobotRequest(**given))  # type: ignore[arg-type]
    assert answer.project_id == project_id
    created: robot_pb2.CreatedRobot = answer.robot
    return created


async def test_a_robot_made_by_the_older_request_is_like_any_other(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    project_id = await alice.make_project("team")
    moment = int(time.time()) + 90_000
    created = await create(alice, ProjectRef(id=project_id), project_id, expire_time_unix_seconds=moment)
    assert (created.name, created.expire_time_unix_seconds) == ("robot$team+ci", moment)
    get = pb.GetRobotRequest(robot_id=created.id, project=ProjectRef(name="team"))
    robot = (await alice.robots.GetRobot(get)).robot
    assert list(robot.permissions) == [permission_group("team", PULL)]
    # A begun day counts, and another change of the robot leaves the moment as it is.
    assert (robot.duration_days, robot.expire_time_unix_seconds) == (2, moment)
    await alice.robots.UpdateRobot(pb.UpdateRobotRequest(robot_id=created.id, duration_days=2, description="x"))
    robot = (await alice.robots.GetRobot(get)).robot
    assert (robot.description, robot.expire_time_unix_seconds) == ("x", moment)
    await alice.robots.UpdateRobot(pb.UpdateRobotRequest(robot_id=created.id, duration_days=3))
    robot = (await alice.robots.GetRobot(get)).robot
    assert robot.expire_time_unix_seconds - robot.create_time.seconds == 3 * 86400
    machine = await authsvc.log_in(created.name, created.secret)
    assert (await machine.registry_token("repository:team/app:pull")).access
    never = await create(alice, ProjectRef(name="team"), project_id, name="ever", expire_time_unix_seconds=-1)
    assert never.expire_time_unix_seconds == -1


async def test_the_older_request_gives_no_more_and_nowhere_else(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    project_id = await alice.make_project("team")
    other_id = await bob.make_project("other")
    team = ProjectRef(name="team")
    maker = await alice.make_robot("team", "maker", "robot:create")
    machine = await authsvc.log_in(maker.name, maker.secret)
    with pytest.raises(Denied) as caught:
        await create(machine, team, project_id)
    assert caught.value.reason == "DENIED"
    with pytest.raises(NotFound):
        await create(bob, team, project_id)
    await alice.add_member("team", bob, "maintainer")
    with pytest.raises(Denied):
        await create(bob, team, project_id)
    with pytest.raises(Invalid):
        await create(alice, team, other_id)
    with pytest.raises(NotFound):
        await create(alice, ProjectRef(id=other_id), other_id)


async def test_a_robot_of_another_project_is_unknown_by_the_old_paths(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    elsewhere = await alice.make_project("elsewhere")
    small = await alice.make_robot("team", "ci", PULL)
    wide = await authsvc.admin.make_system_robot("ci", permission_group("team", PULL))
    for robot_id in (small.id, wide.id):
        for project in (ProjectRef(name="elsewhere"), ProjectRef(id=elsewhere), ProjectRef(name=""), ProjectRef(id=0)):
            for call in (
                authsvc.admin.robots.GetRobot(pb.GetRobotRequest(robot_id=robot_id, project=project)),
                authsvc.admin.robots.DeleteRobot(pb.DeleteRobotRequest(robot_id=robot_id, project=project)),
                authsvc.admin.robots.UpdateProjectRobot(
                    pb.UpdateProjectRobotRequest(robot_id=robot_id, project=project, disabled=True)
                ),
            ):
                with pytest.raises(NotFound):
                    await call
    update = pb.UpdateProjectRobotRequest(robot_id=small.id, project=ProjectRef(name="team"), disabled=True)
    assert (await alice.robots.UpdateProjectRobot(update)).robot.disabled
    delete = pb.DeleteRobotRequest(robot_id=small.id, project=ProjectRef(name="team"))
    await alice.robots.DeleteRobot(delete)
    with pytest.raises(NotFound):
        await alice.robots.DeleteRobot(delete)
