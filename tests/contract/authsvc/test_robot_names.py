"""The prefix of robot names, and the duration that the runtime configuration proposes."""

from __future__ import annotations

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import configuration_service_pb2 as configuration
from roadstead.auth.v1 import robot_pb2
from roadstead.auth.v1 import robot_service_pb2 as pb
from svckit.errors import Unauthenticated
from tests.harness.authsvc import AuthService, permission_group

PULL = "repository:pull"


async def configure(authsvc: AuthService, **values: object) -> None:
    request = configuration.UpdateConfigurationsRequest(**values)  # type: ignore[arg-type]
    await authsvc.admin.configuration.UpdateConfigurations(request)


async def test_a_new_prefix_renames_all_robots_at_once(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    small = await authsvc.admin.make_robot("team", "ci", PULL)
    wide = await authsvc.admin.make_system_robot("ci", permission_group("*", PULL))
    before = await authsvc.log_in(small.name, small.secret)

    await configure(authsvc, robot_name_prefix="bot-")

    for created in (small, wide):
        with pytest.raises(Unauthenticated):
            await authsvc.log_in(created.name, created.secret)
        renamed = created.name.replace("robot$", "bot-")
        robot: robot_pb2.Robot = (await authsvc.admin.robots.GetRobot(pb.GetRobotRequest(robot_id=created.id))).robot
        assert robot.name == renamed
        assert (await authsvc.log_in(renamed, created.secret)).id == created.id
    # It is the same robot, so a token from before is still good.
    assert (await before.registry_token("repository:team/app:pull")).access
    listed = await authsvc.admin.robots.ListRobots(pb.ListRobotsRequest(project=ProjectRef(name="team")))
    assert [robot.name for robot in listed.robots] == ["bot-team+ci"]
    groups = robot_pb2.RobotPermissions(permissions=[permission_group("team", PULL)])
    update = pb.UpdateRobotRequest(robot_id=small.id, name="bot-team+ci", level="project", permissions=groups)
    assert (await authsvc.admin.robots.UpdateRobot(update)).robot.name == "bot-team+ci"
    assert (await authsvc.admin.make_robot("team", "cd", PULL)).name == "bot-team+cd"


async def test_a_robot_without_an_expiry_gets_the_duration_of_the_configuration(authsvc: AuthService) -> None:
    project_id = await authsvc.admin.make_project("team")
    access = [robot_pb2.RobotAccess(resource=f"/project/{project_id}/repository", action="pull")]

    async def days(name: str) -> int:
        request = pb.CreateProjectRobotRequest(project=ProjectRef(name="team"), name=name, access=access)
        created = (await authsvc.admin.robots.CreateProjectRobot(request)).robot
        robot = (await authsvc.admin.robots.GetRobot(pb.GetRobotRequest(robot_id=created.id))).robot
        assert robot.expire_time_unix_seconds - robot.create_time.seconds == robot.duration_days * 86400
        return int(robot.duration_days)

    assert await days("first") == 30
    await configure(authsvc, robot_token_duration_days=12)
    assert await days("second") == 12
    await configure(authsvc, robot_token_duration_days=9_999_999_999)
    assert await days("third") == 36_500
