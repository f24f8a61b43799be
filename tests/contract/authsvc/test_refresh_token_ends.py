"""What ends refresh tokens at once, and for good. On both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import project_service_pb2, robot_pb2, robot_service_pb2, user_service_pb2
from roadstead.auth.v1 import refresh_token_service_pb2 as pb
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from svckit.errors import Unauthenticated
from svckit.sql.database import Database
from tests.contract.authsvc.refreshing import ROBOT, SECRET, granted, is_dead, rows
from tests.harness.authsvc import PASSWORD, AuthService, Caller, permission_group

NEW_PASSWORD = "Battery-staple-2"


@dataclass
class Holders:
    """Who has a refresh token, and how to reach them."""

    authsvc: AuthService
    alice: Caller
    bob: Caller
    robot_id: int

    async def change_own_password(self) -> None:
        await self.bob.users.ChangeUserPassword(
            user_service_pb2.ChangeUserPasswordRequest(
                user_id=self.bob.id, old_password=PASSWORD, new_password=NEW_PASSWORD
            )
        )

    async def set_password(self, password: str) -> None:
        await self.authsvc.admin.users.ChangeUserPassword(
            user_service_pb2.ChangeUserPasswordRequest(user_id=self.bob.id, new_password=password)
        )

    async def disable(self, *, disabled: bool = True) -> None:
        await self.authsvc.admin.users.SetUserDisabled(
            user_service_pb2.SetUserDisabledRequest(user_id=self.bob.id, disabled=disabled)
        )

    async def disable_and_enable(self) -> None:
        await self.disable()
        await self.disable(disabled=False)
        # The password works again, but nobody knows who had the token.
        await self.authsvc.log_in("bob", PASSWORD)

    async def delete(self) -> None:
        await self.authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=self.bob.id))

    async def revoke(self) -> None:
        listed = await self.bob.refresh_tokens.ListUserRefreshTokens(
            pb.ListUserRefreshTokensRequest(user_id=self.bob.id)
        )
        await self.bob.refresh_tokens.RevokeUserRefreshToken(
            pb.RevokeUserRefreshTokenRequest(user_id=self.bob.id, refresh_token_id=listed.refresh_tokens[0].id)
        )

    async def update_robot(self, **fields: Any) -> None:
        await self.alice.robots.UpdateRobot(robot_service_pb2.UpdateRobotRequest(robot_id=self.robot_id, **fields))

    async def disable_and_enable_robot(self) -> None:
        await self.update_robot(disabled=True)
        await self.update_robot(disabled=False)
        await self.authsvc.log_in(ROBOT, SECRET)

    async def expire_robot(self) -> None:
        self.authsvc.clock.ahead = timedelta(days=7, seconds=1)

    async def expire_and_extend_robot(self) -> None:
        await self.expire_robot()
        self.alice = await self.authsvc.log_in("alice", PASSWORD)
        await self.update_robot(duration_days=30)
        await self.authsvc.log_in(ROBOT, SECRET)

    async def refresh_robot(self, secret: str) -> None:
        await self.alice.robots.RefreshRobotSecret(
            robot_service_pb2.RefreshRobotSecretRequest(robot_id=self.robot_id, secret=secret)
        )

    async def delete_robot(self) -> None:
        await self.alice.robots.DeleteRobot(robot_service_pb2.DeleteRobotRequest(robot_id=self.robot_id))

    async def delete_project(self) -> None:
        project_id = (
            await self.alice.projects.GetProject(project_service_pb2.GetProjectRequest(project=ProjectRef(name="team")))
        ).project.id
        async with self.authsvc.service_channel("metasvc") as channel:
            await ProjectServiceStub(channel).DeleteProject(
                project_service_pb2.DeleteProjectRequest(project_id=project_id), metadata=self.alice.metadata
            )

    async def revoke_of_robot(self) -> None:
        listed = await self.alice.refresh_tokens.ListRobotRefreshTokens(
            pb.ListRobotRefreshTokensRequest(robot_id=self.robot_id)
        )
        await self.alice.refresh_tokens.RevokeRobotRefreshToken(
            pb.RevokeRobotRefreshTokenRequest(robot_id=self.robot_id, refresh_token_id=listed.refresh_tokens[0].id)
        )


@pytest.fixture
async def holders(authsvc: AuthService, alice: Caller, robot: robot_pb2.CreatedRobot) -> Holders:
    """A user and a robot that are to have refresh tokens."""
    return Holders(authsvc, alice, await authsvc.user("bob"), robot.id)


Step = Callable[[Holders], Awaitable[None]]

ENDS_USERS: dict[str, Step] = {
    "a new password": Holders.change_own_password,
    "a password that an administrator sets": lambda holders: holders.set_password(NEW_PASSWORD),
    "the same password set again": lambda holders: holders.set_password(PASSWORD),
    "a disabled user": Holders.disable,
    "a user who is enabled again": Holders.disable_and_enable,
    "a deleted user": Holders.delete,
    "a revocation": Holders.revoke,
}
ENDS_ROBOTS: dict[str, Step] = {
    "a disabled robot": lambda holders: holders.update_robot(disabled=True),
    "a robot that is enabled again": Holders.disable_and_enable_robot,
    "an expired robot": Holders.expire_robot,
    "a robot that is valid again": Holders.expire_and_extend_robot,
    "a new secret": lambda holders: holders.refresh_robot("Another-secret-1"),
    "a random secret": lambda holders: holders.refresh_robot(""),
    "a deleted robot": Holders.delete_robot,
    "a deleted project": Holders.delete_project,
    "a revocation": Holders.revoke_of_robot,
}


class TestWhatEndsIt:
    @pytest.mark.parametrize("end", ENDS_USERS)
    async def test_of_a_user(self, authsvc: AuthService, holders: Holders, end: str) -> None:
        token, of_robot = await authsvc.refresh_token("bob"), await authsvc.refresh_token(ROBOT, SECRET)
        await authsvc.exchange(token)
        await ENDS_USERS[end](holders)
        assert await is_dead(authsvc, token)
        assert not await is_dead(authsvc, of_robot)

    @pytest.mark.parametrize("end", ENDS_ROBOTS)
    async def test_of_a_robot(self, authsvc: AuthService, holders: Holders, end: str) -> None:
        token, of_user = await authsvc.refresh_token(ROBOT, SECRET), await authsvc.refresh_token("bob")
        await authsvc.exchange(token)
        await ENDS_ROBOTS[end](holders)
        assert await is_dead(authsvc, token)
        assert not await is_dead(authsvc, of_user)

    async def test_rows_go_at_once_with_what_ends_for_good(
        self, authsvc: AuthService, holders: Holders, migrated_database: Database
    ) -> None:
        await authsvc.refresh_token("bob")
        await authsvc.refresh_token(ROBOT, SECRET)
        await holders.set_password(NEW_PASSWORD)
        assert [row["user_id"] for row in await rows(migrated_database)] == [None]
        await holders.refresh_robot("")
        assert await rows(migrated_database) == []

    async def test_other_changes_of_the_holder_do_not(self, authsvc: AuthService, holders: Holders) -> None:
        of_bob, of_robot = await authsvc.refresh_token("bob"), await authsvc.refresh_token(ROBOT, SECRET)
        await holders.bob.users.UpdateUser(
            user_service_pb2.UpdateUserRequest(user_id=holders.bob.id, email="b@example.org", realname="B")
        )
        await authsvc.admin.users.SetUserAdministrator(
            user_service_pb2.SetUserAdministratorRequest(user_id=holders.bob.id, administrator=True)
        )
        permissions = robot_pb2.RobotPermissions(permissions=[permission_group("team", "repository:pull")])
        await holders.update_robot(description="new", duration_days=9, permissions=permissions)
        assert await granted(authsvc, of_bob, "repository:team/a:delete") == {"delete"}
        assert await granted(authsvc, of_robot) == {"pull"}

    async def test_a_password_that_changes_while_a_token_is_given_leaves_none_that_works(
        self, authsvc: AuthService, holders: Holders
    ) -> None:
        # As if the password had been verified a moment before it was changed.
        async with authsvc.store.read() as unit:
            before = await unit.users.get(holders.bob.id)
        assert before is not None
        await holders.set_password(NEW_PASSWORD)
        text = authsvc.ports.refresh_token_texts.make()
        now = authsvc.clock()
        async with authsvc.store.write() as unit:
            await unit.refresh_tokens.add(
                token_hash=authsvc.ports.refresh_token_texts.hash(text),
                holder=before.caller,
                client_id="docker",
                service="harbor-registry",
                address="",
                now=now,
                expire_time=now + timedelta(days=30),
            )
            await unit.commit()
        assert await is_dead(authsvc, text)
        listed = await authsvc.admin.refresh_tokens.ListUserRefreshTokens(
            pb.ListUserRefreshTokensRequest(user_id=holders.bob.id)
        )
        assert not listed.refresh_tokens

    async def test_whoever_is_deleted_while_a_token_is_given_gets_none(
        self, authsvc: AuthService, holders: Holders
    ) -> None:
        async with authsvc.store.read() as unit:
            before = await unit.users.get(holders.bob.id)
        assert before is not None
        await holders.delete()
        with pytest.raises(Unauthenticated):
            async with authsvc.store.write() as unit:
                await unit.refresh_tokens.add(
                    token_hash="x",
                    holder=before.caller,
                    client_id="docker",
                    service="s",
                    address="",
                    now=authsvc.clock(),
                    expire_time=authsvc.clock(),
                )
