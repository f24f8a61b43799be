"""An RPC that writes and the change that it must record, and the world in which it is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from authsvc.domain.change import Change, ChangeKind
from authsvc.store.tables import change_log
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import refresh_token_service_pb2
from svckit.change import LogPosition
from svckit.sql.database import Database
from tests.harness.authsvc import AuthService, Caller

TEAM = ProjectRef(name="team")
SECRET = "Chosen-secret-1"
"""Of the robot."""


@dataclass
class World:
    """Who and what there is before an RPC is called."""

    authsvc: AuthService
    database: Database
    position: LogPosition = field(init=False)
    alice: Caller = field(init=False)
    bob: Caller = field(init=False)
    project_id: int = 0
    member_id: int = 0
    group_id: int = 0
    robot_id: int = 0
    user_token_id: int = 0
    robot_token_id: int = 0

    async def make_refresh_tokens(self) -> tuple[int, int]:
        """Gives bob and the robot a refresh token each. Returns the ids."""
        await self.authsvc.refresh_token("bob")
        await self.authsvc.refresh_token("robot$team+ci", SECRET)
        stub = self.authsvc.admin.refresh_tokens
        of_bob = await stub.ListUserRefreshTokens(
            refresh_token_service_pb2.ListUserRefreshTokensRequest(user_id=self.bob.id)
        )
        of_robot = await stub.ListRobotRefreshTokens(
            refresh_token_service_pb2.ListRobotRefreshTokensRequest(robot_id=self.robot_id)
        )
        return of_bob.refresh_tokens[0].id, of_robot.refresh_tokens[0].id

    async def settle(self) -> None:
        """From here on, changes count."""
        async with self.database.read() as conn:
            self.position = await change_log.position(conn)

    async def changes(self) -> list[Change]:
        """What has been changed since."""
        async with self.database.read() as conn:
            page = await change_log.read(conn, self.position)
        return [committed.change for committed in page.changes]


@dataclass
class Write:
    """An RPC that writes, and the change that it must record.

    Attributes:
        rpc: its name.
        call: calls it.
        kind: of the change.
        name: of what was changed.
        by: who calls, of `World`: "alice", "admin".
        in_project: whether it belongs to the project.
        old: before.
        new: after.
        id_of: the id of what was changed; None where the call makes it.
    """

    rpc: str
    call: Callable[[World], Awaitable[Any]]
    kind: ChangeKind
    name: str
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    by: str = "alice"
    in_project: bool = True
    id_of: Callable[[World], int] | None = None
