"""What belongs to no project: robots of the system level, and the list of all projects."""

import secrets

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import project_service_pb2
from roadstead.auth.v1 import robot_service_pb2 as pb
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from roadstead.auth.v1.robot_pb2 import RobotAccess, RobotPermission, RobotPermissions
from tests.access.callers import BY_GROUP, EVERY_CALLER, ROBOTS, held_on_system
from tests.access.matrix import ROLES
from tests.access.rights import RPCS
from tests.access.world import World
from tests.harness.contracts import OK

LABELS = RobotPermission(kind="system", namespace="/", access=[RobotAccess(resource="label", action="read")])
ACTIONS = {
    "CreateRobot": "create",
    "GetRobot": "read",
    "ListRobots": "list",
    "UpdateRobot": "update",
    "RefreshRobotSecret": "update",
    "DeleteRobot": "delete",
}


def name() -> str:
    return f"r{secrets.token_hex(6)}"


@pytest.fixture
def robot_id(world: World) -> int:
    body = {
        "name": name(),
        "level": "system",
        "duration": -1,
        "permissions": [{"kind": "system", "namespace": "/", "access": [{"resource": "label", "action": "read"}]}],
    }
    return int(world.management.client.post("/robots", json=body).raise_for_status().json()["id"])


@pytest.mark.parametrize("caller", EVERY_CALLER)
@pytest.mark.parametrize("method", ACTIONS)
def test_who_looks_after_robots_of_the_system_level(world: World, method: str, caller: str, robot_id: int) -> None:
    request = {
        "CreateRobot": pb.CreateRobotRequest(name=name(), level="system", duration_days=-1, permissions=[LABELS]),
        "GetRobot": pb.GetRobotRequest(robot_id=robot_id),
        "ListRobots": pb.ListRobotsRequest(q="Level=system"),
        "UpdateRobot": pb.UpdateRobotRequest(
            robot_id=robot_id, disabled=True, permissions=RobotPermissions(permissions=[LABELS])
        ),
        "RefreshRobotSecret": pb.RefreshRobotSecretRequest(robot_id=robot_id),
        "DeleteRobot": pb.DeleteRobotRequest(robot_id=robot_id),
    }[method]
    held = {action for resource, action in held_on_system(caller) if resource == "robot"}

    heard = RPCS[f"auth.v1.RobotService/{method}"].call(
        world.channels["authsvc"], request, world.identity[f"{caller}/private"]
    )

    if caller == "anonymous":
        assert heard == "UNAUTHORIZED"
    elif caller == "sysadmin" or ACTIONS[method] in held:
        assert heard == OK
    else:
        is_hidden = "read" not in held and method not in ("CreateRobot", "ListRobots")
        assert heard == ("ROBOT_UNKNOWN" if is_hidden else "FORBIDDEN")


def sees(caller: str) -> bool:
    """Whether the list of projects has the private one."""
    robot = ROBOTS.get(caller)
    if robot is None:
        return caller in ("sysadmin", *ROLES, *BY_GROUP)
    return robot.where in ("project", "everywhere") or ("project", "list") in held_on_system(caller)


@pytest.mark.parametrize("caller", EVERY_CALLER)
def test_the_list_of_projects_has_those_that_the_caller_sees_or_may_list(world: World, caller: str) -> None:
    stub = ProjectServiceStub(world.channels["authsvc"])
    request = project_service_pb2.ListProjectsRequest(q=f"name={world.projects['private']}", with_total=True)

    answer = stub.ListProjects(request, metadata=tuple(world.identity[f"{caller}/private"].items()), timeout=20)

    assert (len(answer.projects), answer.total_size) == ((1, 1) if sees(caller) else (0, 0))


def test_a_robot_that_may_list_all_projects_reads_none_of_them(world: World) -> None:
    rpc = RPCS["auth.v1.ProjectService/GetProject"]
    request = project_service_pb2.GetProjectRequest(project=ProjectRef(name=world.projects["private"]))

    heard = rpc.call(world.channels["authsvc"], request, world.identity["robot of the system/private"])

    assert heard == "PROJECT_UNKNOWN"
