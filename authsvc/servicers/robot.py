"""Robots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authsvc.convert import from_created_robot, from_robot, known_identity, to_list_request, to_robot_spec
from authsvc.domain import robot as domain
from roadstead.auth.v1 import robot_service_pb2 as pb
from roadstead.auth.v1.robot_pb2 import RobotSecret
from roadstead.auth.v1.robot_service_pb2_grpc import RobotServiceServicer
from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.rpc.idempotency import idempotency_key

if TYPE_CHECKING:
    import grpc.aio

    from authsvc.domain.model import Identity
    from authsvc.domain.ports import Clock, Store
    from authsvc.domain.robot_secret import RobotSecrets

    Context = grpc.aio.ServicerContext[Any, Any]

_ROBOT = "robot"


class CallRobotAccess:
    """`domain.ports.RobotAccess` by the call that is being served: what the interceptor wants checked under `row`."""

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


class RobotServicer(RobotServiceServicer):
    """Serves `roadstead.auth.v1.RobotService`."""

    def __init__(self, store: Store, secrets: RobotSecrets, clock: Clock) -> None:
        """Takes what the domain needs."""
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._access = CallRobotAccess()

    async def CreateRobot(self, request: pb.CreateRobotRequest, context: Context) -> pb.CreateRobotResponse:
        identity = _identity()
        spec = to_robot_spec(
            request.permissions,
            level=request.level,
            description=request.description,
            duration_days=request.duration_days,
            disabled=request.disabled,
        )
        created = await domain.create_robot(
            self._store,
            self._secrets,
            self._access,
            self._clock,
            identity,
            request.name,
            spec,
            request.secret,
            key=idempotency_key(request),
        )
        return pb.CreateRobotResponse(robot=from_created_robot(created))

    async def GetRobot(self, request: pb.GetRobotRequest, context: Context) -> pb.GetRobotResponse:
        robot = await domain.get_robot(self._store, self._access, request.robot_id)
        return pb.GetRobotResponse(robot=from_robot(robot))

    async def ListRobots(self, request: pb.ListRobotsRequest, context: Context) -> pb.ListRobotsResponse:
        page = await domain.list_robots(
            self._store,
            self._access,
            to_list_request(request, request.q, request.sort),
            request.project.id if request.project.WhichOneof("ref") == "id" else None,
            request.project.name,
        )
        return pb.ListRobotsResponse(
            robots=map(from_robot, page.items), next_page_token=page.next_page_token, total_size=page.total_size
        )

    async def UpdateRobot(self, request: pb.UpdateRobotRequest, context: Context) -> pb.UpdateRobotResponse:
        identity = _identity()
        spec = to_robot_spec(
            request.permissions,
            level=request.level,
            description=request.description,
            duration_days=request.duration_days if request.HasField("duration_days") else None,
            disabled=request.disabled,
        )
        robot = await domain.update_robot(
            self._store, self._access, self._clock, identity, request.robot_id, spec, name=request.name
        )
        return pb.UpdateRobotResponse(robot=from_robot(robot))

    async def RefreshRobotSecret(
        self, request: pb.RefreshRobotSecretRequest, context: Context
    ) -> pb.RefreshRobotSecretResponse:
        refreshed = await domain.refresh_secret(
            self._store, self._secrets, self._access, self._clock, _identity(), request.robot_id, request.secret
        )
        return pb.RefreshRobotSecretResponse(secret=RobotSecret(secret=refreshed.secret))

    async def DeleteRobot(self, request: pb.DeleteRobotRequest, context: Context) -> pb.DeleteRobotResponse:
        await domain.delete_robot(self._store, self._access, self._clock, _identity(), request.robot_id)
        return pb.DeleteRobotResponse()


def _identity() -> Identity:
    return known_identity(current_call().principal)
