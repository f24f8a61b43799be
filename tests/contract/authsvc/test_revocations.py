"""Who loses rights by which change, so that registry tokens from before it are refused. On both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from authsvc.domain.revocation import remove_outdated
from authsvc.store.tables import change_log, revocation
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import (
    member_service_pb2,
    project_service_pb2,
    robot_pb2,
    robot_service_pb2,
    user_group_service_pb2,
    user_service_pb2,
)
from roadstead.auth.v1 import refresh_token_service_pb2 as refresh_pb
from roadstead.auth.v1 import revocation_service_pb2 as pb
from roadstead.auth.v1 import token_service_pb2 as pb_token
from roadstead.auth.v1.revocation_service_pb2_grpc import RevocationServiceStub
from svckit.changes.convert import to_position
from svckit.errors import Precondition
from svckit.revocation.reader import RevocationReader
from svckit.rpc import RpcChannel
from svckit.tokens import RegistryToken
from svckit.tokens.revocation import KEPT, Revocations
from tests.contract.authsvc.refreshing import ROBOT, SECRET
from tests.harness.authsvc import PASSWORD, ROLES, AuthService, Caller, credentials, permission_group, serving

TEAM = "repository:team/a:pull,push"
OPEN = "repository:open/a:pull,push"
OTHER = "repository:other/a:pull,push"
WHO = ("bob_team", "bob_other", "bob_open", "bob_refreshed", "robot", "eve", "nobody", "alice")


@dataclass
class World:
    """Bob is a developer of "team" and "other", by himself and by a group. Eve is in the group. "open" is public."""

    authsvc: AuthService
    gateway: RpcChannel
    alice: Caller
    bob: Caller
    eve: Caller
    member_id: int
    group_id: int
    group_member_id: int
    robot_id: int
    refresh_token: str
    open_id: int
    revocations: Revocations

    async def tokens(self) -> dict[str, RegistryToken]:
        """A token of each. They are kept up while tests take rights away."""
        answers = {
            "bob_team": await self.log_in("bob", TEAM),
            "bob_other": await self.log_in("bob", OTHER),
            "bob_open": await self.log_in("bob", OPEN),
            "bob_refreshed": (await self.authsvc.exchange(self.refresh_token, TEAM)).token,
            "robot": await self.log_in(ROBOT, TEAM, SECRET),
            "eve": await self.log_in("eve", TEAM),
            "nobody": (await self.authsvc.anonymous.registry_token(OPEN)).token,
            "alice": await self.log_in("alice", f"{TEAM} {OTHER} {OPEN}"),
        }
        verifier = self.authsvc.keyring.verifier()
        return {who: verifier.verify(token, RegistryToken) for who, token in answers.items()}

    async def log_in(self, name: str, scopes: str, secret: str = PASSWORD) -> str:
        answer = await self.authsvc.anonymous.tokens.CreateRegistryToken(
            pb_token.CreateRegistryTokenRequest(credentials=credentials(name, secret), scopes=[scopes])
        )
        return str(answer.token)

    async def refused(self, tokens: dict[str, RegistryToken]) -> set[str]:
        """Whose tokens a gateway refuses now."""
        await RevocationReader(self.gateway, self.revocations).refresh()
        return {who for who, token in tokens.items() if self.revocations.is_revoked(token)}

    async def set_role(self, member_id: int, role: str) -> None:
        await self.alice.members.UpdateMember(
            member_service_pb2.UpdateMemberRequest(
                project=ProjectRef(name="team"), member_id=member_id, role_id=ROLES[role]
            )
        )

    async def remove_member(self, member_id: int) -> None:
        await self.alice.members.DeleteMember(
            member_service_pb2.DeleteMemberRequest(project=ProjectRef(name="team"), member_id=member_id)
        )

    async def update_robot(self, *permissions: str, **fields: object) -> None:
        groups = (
            robot_pb2.RobotPermissions(permissions=[permission_group("team", *permissions)]) if permissions else None
        )
        await self.alice.robots.UpdateRobot(
            robot_service_pb2.UpdateRobotRequest(robot_id=self.robot_id, permissions=groups, **fields)  # type: ignore[arg-type]
        )

    async def set_disabled(self, *, disabled: bool) -> None:
        await self.authsvc.admin.users.SetUserDisabled(
            user_service_pb2.SetUserDisabledRequest(user_id=self.bob.id, disabled=disabled)
        )

    async def set_administrator(self, *, administrator: bool) -> None:
        await self.authsvc.admin.users.SetUserAdministrator(
            user_service_pb2.SetUserAdministratorRequest(user_id=self.bob.id, administrator=administrator)
        )

    async def set_public(self, *, public: bool) -> None:
        await self.alice.projects.UpdateProject(
            project_service_pb2.UpdateProjectRequest(project=ProjectRef(name="open"), public=public)
        )

    async def change_password(self, caller: Caller, old_password: str = "") -> None:
        await caller.users.ChangeUserPassword(
            user_service_pb2.ChangeUserPasswordRequest(
                user_id=self.bob.id, old_password=old_password, new_password="Battery-staple-2"
            )
        )

    async def revoke_refresh_token(self) -> None:
        listed = await self.bob.refresh_tokens.ListUserRefreshTokens(
            refresh_pb.ListUserRefreshTokensRequest(user_id=self.bob.id)
        )
        await self.bob.refresh_tokens.RevokeUserRefreshToken(
            refresh_pb.RevokeUserRefreshTokenRequest(user_id=self.bob.id, refresh_token_id=listed.refresh_tokens[0].id)
        )


@pytest.fixture
async def world(authsvc: AuthService) -> AsyncIterator[World]:
    alice, bob, eve = await authsvc.user("alice"), await authsvc.user("bob"), await authsvc.user("eve")
    for name in ("team", "other"):
        await alice.make_project(name)
    open_id = await alice.make_project("open", public=True)
    robot = await alice.make_robot("team", "ci", "repository:pull", "repository:push", secret=SECRET)
    group_id = await authsvc.admin.make_group("builders", bob, eve)
    async with authsvc.service_channel("gateway") as gateway:
        yield World(
            authsvc,
            gateway,
            alice,
            bob,
            eve,
            member_id=await alice.add_member("team", bob, "developer"),
            group_id=group_id,
            group_member_id=await alice.add_group("team", group_id, "developer"),
            robot_id=robot.id,
            refresh_token=await authsvc.refresh_token("bob"),
            open_id=open_id,
            revocations=Revocations(),
        )


Act = Callable[[World], Awaitable[object]]

BOB = {"bob_team", "bob_other", "bob_open", "bob_refreshed"}
IN_TEAM = {"bob_team", "bob_refreshed"}

LOSSES: dict[str, tuple[Act, set[str]]] = {
    "own_password": (lambda world: world.change_password(world.bob, PASSWORD), BOB),
    "password_by_an_administrator": (lambda world: world.change_password(world.authsvc.admin), BOB),
    "disabled": (lambda world: world.set_disabled(disabled=True), BOB),
    "deleted": (
        lambda world: world.authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=world.bob.id)),
        BOB,
    ),
    "member_removed": (lambda world: world.remove_member(world.member_id), IN_TEAM),
    "role_lowered": (lambda world: world.set_role(world.member_id, "guest"), IN_TEAM),
    "group_membership_removed": (lambda world: world.remove_member(world.group_member_id), {*IN_TEAM, "eve"}),
    "role_of_the_group_lowered": (lambda world: world.set_role(world.group_member_id, "guest"), {*IN_TEAM, "eve"}),
    "removed_from_a_group": (
        lambda world: world.authsvc.admin.groups.RemoveUserGroupMember(
            user_group_service_pb2.RemoveUserGroupMemberRequest(group_id=world.group_id, user_id=world.eve.id)
        ),
        {"eve"},
    ),
    "group_deleted": (
        lambda world: world.authsvc.admin.groups.DeleteUserGroup(
            user_group_service_pb2.DeleteUserGroupRequest(group_id=world.group_id)
        ),
        {*IN_TEAM, "eve"},
    ),
    "robot_disabled": (lambda world: world.update_robot(disabled=True), {"robot"}),
    "robot_permission_taken": (lambda world: world.update_robot("repository:pull"), {"robot"}),
    "robot_permission_denied": (
        lambda world: world.update_robot("repository:pull", "repository:push", "repository:push:deny"),
        {"robot"},
    ),
    "robot_secret": (
        lambda world: world.alice.robots.RefreshRobotSecret(
            robot_service_pb2.RefreshRobotSecretRequest(robot_id=world.robot_id)
        ),
        {"robot"},
    ),
    "robot_deleted": (
        lambda world: world.alice.robots.DeleteRobot(robot_service_pb2.DeleteRobotRequest(robot_id=world.robot_id)),
        {"robot"},
    ),
    "refresh_token_revoked": (lambda world: world.revoke_refresh_token(), {"bob_refreshed"}),
    # Alice is its administrator.
    "made_private": (lambda world: world.set_public(public=False), {"bob_open", "nobody"}),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_loss_refuses_the_tokens_of_those_who_lose_and_of_nobody_else(world: World, loss: str) -> None:
    act, losers = LOSSES[loss]
    tokens = await world.tokens()
    assert await world.refused(tokens) == set()
    await act(world)
    assert await world.refused(tokens) == losers


async def test_an_administrator_that_is_one_no_longer_loses_everything(world: World) -> None:
    await world.set_administrator(administrator=True)
    tokens = await world.tokens()
    await world.set_administrator(administrator=False)
    assert await world.refused(tokens) == BOB


async def _group_without_a_project(world: World) -> None:
    group_id = await world.authsvc.admin.make_group("idle", world.bob)
    await world.authsvc.admin.groups.DeleteUserGroup(user_group_service_pb2.DeleteUserGroupRequest(group_id=group_id))


GAINS: dict[str, Act] = {
    "administrator": lambda world: world.set_administrator(administrator=True),
    "administrator_taken_from_one_who_is_none": lambda world: world.set_administrator(administrator=False),
    "role_raised": lambda world: world.set_role(world.member_id, "maintainer"),
    "member_of_another_project": lambda world: world.alice.add_member("open", world.bob, "developer"),
    "into_a_group": lambda world: world.authsvc.admin.make_group("more", world.bob),
    "robot_permission": lambda world: world.update_robot("repository:pull", "repository:push", "repository:delete"),
    "robot_described": lambda world: world.update_robot(description="builds"),
    "profile": lambda world: world.bob.users.UpdateUser(
        user_service_pb2.UpdateUserRequest(user_id=world.bob.id, comment="likes tea")
    ),
    "enabled": lambda world: world.set_disabled(disabled=False),
    "group_without_a_project_deleted": _group_without_a_project,
    "made_public": lambda world: world.set_public(public=True),
}


@pytest.mark.parametrize("gain", GAINS)
async def test_what_takes_nothing_away_refuses_nothing(world: World, gain: str) -> None:
    tokens = await world.tokens()
    await GAINS[gain](world)
    assert await world.refused(tokens) == set()


async def test_a_token_that_was_asked_for_after_the_loss_is_accepted(world: World) -> None:
    await world.set_role(world.member_id, "guest")
    await world.set_role(world.group_member_id, "guest")
    await world.set_public(public=False)
    again = await world.tokens()
    assert again["bob_team"].access[0].actions == {"pull"}
    assert await world.refused(again) == set()


async def test_who_is_something_in_a_public_project_does_not_lose_by_its_becoming_private(world: World) -> None:
    await world.alice.add_member("open", world.bob, "limitedGuest")
    machine = await world.alice.make_robot("open", "puller", "repository:pull", secret=SECRET)
    pusher = await world.alice.make_robot("open", "pusher", "repository:push", secret=SECRET)
    verifier = world.authsvc.keyring.verifier()
    tokens = await world.tokens()
    for who, robot in (("puller", machine), ("pusher", pusher)):
        tokens[who] = verifier.verify(await world.log_in(robot.name, OPEN, SECRET), RegistryToken)
    await world.set_public(public=False)
    # The one robot was given push only, so it could pull only as anybody.
    assert await world.refused(tokens) == {"nobody", "pusher"}


async def test_the_revision_is_read_before_the_rights(
    world: World, monkeypatch: pytest.MonkeyPatch, authsvc: AuthService
) -> None:
    """Bob is disabled after his password was found to be right, and before his rights are read."""
    find = authsvc.ports.login._find

    async def find_and_disable(name: str) -> object:
        found = await find(name)
        if name == "bob":
            await world.set_disabled(disabled=True)
        return found

    monkeypatch.setattr(authsvc.ports.login, "_find", find_and_disable)
    token = authsvc.keyring.verifier().verify(await world.log_in("bob", TEAM), RegistryToken)
    assert token.allowed("repository", "team/a", "push")
    assert await world.refused({"bob": token}) == {"bob"}


async def test_a_refused_change_revokes_nothing(world: World) -> None:
    tokens = await world.tokens()
    with pytest.raises(Precondition):
        await world.authsvc.admin.users.SetUserDisabled(
            user_service_pb2.SetUserDisabledRequest(user_id=world.bob.id, disabled=True, etag="of an older state")
        )
    assert await world.refused(tokens) == set()


async def test_tokens_of_another_epoch_are_refused_and_those_of_the_present_one_are_not(world: World) -> None:
    tokens = await world.tokens()
    await world.set_role(world.member_id, "guest")
    assert await world.refused(tokens) == IN_TEAM
    async with world.authsvc.store.database.write() as conn:
        await change_log.renew_epoch(conn)
        await conn.commit()
    assert await world.refused(tokens) == set(WHO)
    assert await world.refused(await world.tokens()) == set()


async def test_a_token_of_an_older_release_is_refused_by_any_loss_of_its_subject(world: World) -> None:
    tokens = {
        "bob": RegistryToken(subject=f"user:{world.bob.id}"),
        "eve": RegistryToken(subject=f"user:{world.eve.id}"),
    }
    assert await world.refused(tokens) == set()
    await world.set_disabled(disabled=True)
    assert await world.refused(tokens) == {"bob"}


async def test_a_reader_is_told_what_is_new_and_a_page_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsvc.store.revocation._PAGE_ITEMS", 2)
    for disabled in (True, False, True, False, True):
        await world.set_disabled(disabled=disabled)
    stub: RevocationServiceStub = RevocationServiceStub(world.gateway)
    first = await stub.ListRevocations(pb.ListRevocationsRequest())  # type: ignore[misc]
    assert first.begins_anew
    assert len(first.revocations) == 3
    second = await stub.ListRevocations(pb.ListRevocationsRequest(position=first.position))  # type: ignore[misc]
    assert not second.begins_anew
    assert (len(second.revocations), second.has_more) == (0, False)
    monkeypatch.setattr("authsvc.store.revocation._PAGE_ITEMS", 0)
    pages = [await stub.ListRevocations(pb.ListRevocationsRequest())]  # type: ignore[misc]
    while pages[-1].has_more:
        pages.append(await stub.ListRevocations(pb.ListRevocationsRequest(position=pages[-1].position)))  # type: ignore[misc]
    assert [len(page.revocations) for page in pages] == [1, 1, 1]
    assert [page.begins_anew for page in pages] == [True, False, False]
    assert to_position(pages[-1].position) == to_position(second.position)
    # A reader takes all pages at once.
    await world.refused({})
    assert len(world.revocations) == 3


async def test_a_position_that_the_log_does_not_have_begins_anew(world: World) -> None:
    await world.set_disabled(disabled=True)
    stub: RevocationServiceStub = RevocationServiceStub(world.gateway)
    answer = await stub.ListRevocations(pb.ListRevocationsRequest())  # type: ignore[misc]
    answer.position.revision += 1
    again = await stub.ListRevocations(pb.ListRevocationsRequest(position=answer.position))  # type: ignore[misc]
    assert (again.begins_anew, len(again.revocations)) == (True, 1)


async def test_revocations_are_deleted_and_forgotten_when_no_token_can_be_left(world: World) -> None:
    await world.set_disabled(disabled=True)
    tokens = {"bob": RegistryToken(subject=f"user:{world.bob.id}")}
    assert await world.refused(tokens) == {"bob"}

    async def count() -> int:
        async with world.authsvc.store.database.read() as conn:
            return int((await conn.execute(select(func.count()).select_from(revocation))).scalar_one())

    clock = world.authsvc.clock
    clock.ahead = KEPT - timedelta(minutes=1)
    await remove_outdated(world.authsvc.ports)
    await RevocationReader(world.gateway, world.revocations, clock).refresh()
    assert (await count(), len(world.revocations)) == (1, 1)
    clock.ahead = KEPT + timedelta(minutes=1)
    await remove_outdated(world.authsvc.ports)
    await RevocationReader(world.gateway, world.revocations, clock).refresh()
    assert (await count(), len(world.revocations)) == (0, 0)
    assert await world.refused(tokens) == set()


async def test_two_replicas_take_and_tell_losses_of_each_other(
    authsvc: AuthService, world: World, other_folder: Path
) -> None:
    if authsvc.store.database.dialect == "sqlite":
        pytest.skip("a SQLite file has one process")
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(serving(authsvc.store, other_folder))
        gateway = await stack.enter_async_context(other.service_channel("gateway"))
        for number in range(20):
            # What the one has committed, a token of the other is not refused by.
            await world.set_disabled(disabled=True)
            await world.set_disabled(disabled=False)
            answer = await other.anonymous.tokens.CreateRegistryToken(
                pb_token.CreateRegistryTokenRequest(credentials=credentials("bob", PASSWORD), scopes=[TEAM])
            )
            token = other.keyring.verifier().verify(answer.token, RegistryToken)
            reader = RevocationReader(gateway if number % 2 else world.gateway, world.revocations)
            await reader.refresh()
            assert not world.revocations.is_revoked(token)
            await asyncio.gather(world.set_disabled(disabled=True), reader.refresh())
            await reader.refresh()
            assert world.revocations.is_revoked(token)
            await world.set_disabled(disabled=False)
