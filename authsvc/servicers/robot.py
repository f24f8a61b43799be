"""Robots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import (
    from_catalogue,
    from_created_robot,
    from_robot,
    known_identity,
    named_project,
    to_new_robot,
    to_project_key,
    to_project_robot,
    to_requester,
    to_robot_change,
)
from authsvc.domain import robot as domain
from authsvc.domain import robot_change
from authsvc.domain.project_robot import create_project_robot
from authsvc.domain.robot import RobotChange
from roadstead.auth.v1 import robot_service_pb2 as pb
from roadstead.auth.v1.robot_pb2 import RobotSecret
from roadstead.auth.v1.robot_service_pb2_grpc import RobotServiceServicer
from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.convert import to_list_request
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Requester

    Context = grpc.aio.ServicerContext[Any, Any]

_ROBOT = "robot"


class CallRobotAccess:
    """`domain.ports.RobotAccess` for the current call. It makes the checks that an access rule `row` asks for."""

    def require_identity(self) -> None:
        """See the port."""
        known_identity(current_call().principal)

    async def check_named(self, project_name: str, action: str) -> int:
        """See the port."""
        return (await current_call().check_project(ProjectKey(name=project_name), _ROBOT, action)).id

    async def check_id(self, project_id: int, action: str) -> int:
        """See the port."""
        return (await current_call().check_project(ProjectKey(id=project_id), _ROBOT, action)).id

    async def check_system(self, action: str) -> None:
        """See the port."""
        await current_call().check_system(_ROBOT, action)

    async def held_everywhere(self) -> None:
        """See the port."""
        await current_call().check_identity()


class RobotServicer(RobotServiceServicer):
    """Serves `roadstead.auth.v1.RobotService`."""

    def __init__(self, ports: Ports) -> None:
        """Takes the domain's ports."""
        self._ports = ports

    async def CreateRobot(self, request: pb.CreateRobotRequest, context: Context) -> pb.CreateRobotResponse:
        created = await robot_change.create_robot(
            self._ports, _requester(), to_new_robot(request), request.secret, key=idempotency_key(request)
        )
        return pb.CreateRobotResponse(robot=from_created_robot(created))

    async def CreateProjectRobot(
        self, request: pb.CreateProjectRobotRequest, context: Context
    ) -> pb.CreateProjectRobotResponse:
        created = await create_project_robot(
            self._ports, _requester(), named_project(request.project), to_project_robot(request)
        )
        return pb.CreateProjectRobotResponse(robot=from_created_robot(created), project_id=created.robot.project_id)

    async def GetRobot(self, request: pb.GetRobotRequest, context: Context) -> pb.GetRobotResponse:
        robot = await domain.get_robot(self._ports, request.robot_id, to_project_key(request.project))
        return pb.GetRobotResponse(robot=from_robot(robot))

    async def ListRobots(self, request: pb.ListRobotsRequest, context: Context) -> pb.ListRobotsResponse:
        page = await domain.list_robots(
            self._ports,
            to_list_request(request),
            request.project.id if request.project.WhichOneof("ref") == "id" else None,
            request.project.name,
        )
        return pb.ListRobotsResponse(
            robots=map(from_robot, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def UpdateRobot(self, request: pb.UpdateRobotRequest, context: Context) -> pb.UpdateRobotResponse:
        robot = await robot_change.update_robot(self._ports, _requester(), request.robot_id, to_robot_change(request))
        return pb.UpdateRobotResponse(robot=from_robot(robot))

    async def UpdateProjectRobot(
        self, request: pb.UpdateProjectRobotRequest, context: Context
    ) -> pb.UpdateProjectRobotResponse:
        change = RobotChange(
            description=request.description if request.HasField("description") else None,
            disabled=request.disabled if request.HasField("disabled") else None,
            etag=request.etag,
        )
        robot = await robot_change.update_robot(
            self._ports, _requester(), request.robot_id, change, to_project_key(request.project)
        )
        return pb.UpdateProjectRobotResponse(robot=from_robot(robot))

    async def RefreshRobotSecret(
        self, request: pb.RefreshRobotSecretRequest, context: Context
    ) -> pb.RefreshRobotSecretResponse:
        refreshed = await robot_change.refresh_secret(self._ports, _requester(), request.robot_id, request.secret)
        # As in Harbor: a caller that chose the secret knows it.
        return pb.RefreshRobotSecretResponse(secret=RobotSecret(secret="" if request.secret else refreshed.secret))

    async def ListRobotPermissions(
        self, request: pb.ListRobotPermissionsRequest, context: Context
    ) -> pb.ListRobotPermissionsResponse:
        catalogue = await domain.list_catalogue(self._ports, known_identity(current_call().principal))
        return pb.ListRobotPermissionsResponse(catalogue=from_catalogue(catalogue))

    async def DeleteRobot(self, request: pb.DeleteRobotRequest, context: Context) -> pb.DeleteRobotResponse:
        await robot_change.delete_robot(self._ports, _requester(), request.robot_id, to_project_key(request.project))
        return pb.DeleteRobotResponse()


def _requester() -> Requester:
    return to_requester(current_call())
