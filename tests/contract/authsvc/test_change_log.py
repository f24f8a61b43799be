"""Every RPC that writes records one change: what, by whom, from what to what, and never a secret. On both databases."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import MethodOptions
from sqlalchemy import select

from authsvc.domain.change import ChangeKind
from authsvc.store.tables import change_log
from roadstead.auth.v1 import member_service_pb2, project_service_pb2, robot_service_pb2, user_service_pb2
from roadstead.auth.v1.user_service_pb2_grpc import UserServiceStub
from svckit.access.actor import Actor
from svckit.change import LogPosition
from svckit.errors import Conflict, Denied, DomainError, NotFound
from svckit.sql.database import Database
from svckit.tokens import IdentityToken
from tests.contract.authsvc.writes import WRITES
from tests.contract.authsvc.writes.account import NEW_PASSWORD
from tests.contract.authsvc.writes.write import SECRET, TEAM, World, Write
from tests.harness.authsvc import PASSWORD, AuthService, Caller
from tests.harness.contracts import every_rpc

# Those of ChangeService write about the log, and not into it. Others make tokens, and change nothing that lasts. A
# refresh token lasts, but to get one is a log-in, and no change. SetUserCliSecret always refuses, until users can come
# from an OpenID provider.
_NO_CHANGES = {
    "ChangeService/PutCursor",
    "ChangeService/DeleteCursor",
    "ChangeService/CompactChanges",
    "TokenService/CreateRegistryToken",
    "TokenService/CreateIdentityToken",
    "RefreshTokenService/CreateRefreshToken",
    "UserService/SetUserCliSecret",
}


@pytest.fixture
async def world(authsvc: AuthService, migrated_database: Database) -> World:
    """Alice has a project with bob as a guest, and a robot. There is a group with bob. Both have refresh tokens."""
    made = World(authsvc, migrated_database)
    made.alice, made.bob = await authsvc.user("alice"), await authsvc.user("bob")
    made.project_id = await made.alice.make_project("team", metadata={"severity": "low"})
    made.member_id = await made.alice.add_member("team", made.bob, "guest")
    made.robot_id = (await made.alice.make_robot("team", "ci", "repository:pull", duration_days=7, secret=SECRET)).id
    made.group_id = await authsvc.admin.make_group("crew", made.bob)
    made.user_token_id, made.robot_token_id = await made.make_refresh_tokens()
    await made.settle()
    return made


def test_every_rpc_of_authsvc_that_writes_is_among_them() -> None:
    writing = {
        rpc.name.removeprefix("auth.v1.")
        for rpc in every_rpc()
        if rpc.name.startswith("auth.v1.")
        and rpc.method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS
    }
    assert {write.rpc for write in WRITES} == writing - _NO_CHANGES


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.rpc)
async def test_a_write_records_one_change_with_what_it_did(world: World, write: Write) -> None:
    before = world.authsvc.clock()
    await write.call(world)
    (change,) = await world.changes()
    assert (change.kind, change.resource_name) == (write.kind, write.name)
    assert change.resource_id == (write.id_of(world) if write.id_of is not None else change.resource_id) > 0
    if write.kind is ChangeKind.PROJECT_CREATED:
        assert change.project_id == change.resource_id
    else:
        assert change.project_id == (world.project_id if write.in_project else 0)
    assert (change.reference, change.digest) == ("", "")
    assert before <= change.time <= world.authsvc.clock()
    assert _but(change.old, write.old) == write.old
    assert _but(change.new, write.new) == write.new


def _but(found: Any, expected: dict[str, Any] | None) -> Any:
    """Without the ids of owners and users that are not expected: they are numbers of this run."""
    if found is None or expected is None:
        return found
    return {name: value for name, value in found.items() if name in expected or name not in ("owner_id", "user_id")}


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.rpc)
async def test_the_change_says_who_did_it_by_which_request(world: World, write: Write) -> None:
    await write.call(world)
    (change,) = await world.changes()
    caller = world.authsvc.admin if write.by == "admin" else getattr(world, write.by)
    origin = change.origin
    assert origin.actor == Actor("user", caller.id, caller.name)
    assert len(origin.request_id) == 32
    assert origin.token_id == _token_id(world, caller)


async def test_the_change_says_from_where_the_client_came_as_the_gateway_states_it(world: World) -> None:
    said = (("x-roadstead-client-address", "192.0.2.7"), ("x-request-id", "r-1"))
    async with world.authsvc.service_channel("gateway") as channel:
        await UserServiceStub(channel).UpdateUser(
            user_service_pb2.UpdateUserRequest(user_id=world.bob.id, comment="new"),
            metadata=(*world.bob.metadata, *said),
        )
    (change,) = await world.changes()
    assert (change.origin.client_address, change.origin.request_id) == ("192.0.2.7", "r-1")
    assert change.origin.actor == Actor("user", world.bob.id, "bob")


def _token_id(world: World, caller: Caller) -> str:
    return str(world.authsvc.keyring.verifier().verify(caller.token, IdentityToken).token_id)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.rpc)
async def test_the_same_write_again_records_nothing_more_unless_it_sets_a_secret(world: World, write: Write) -> None:
    await write.call(world)
    await world.settle()
    secret_again = write.rpc == "RobotService/RefreshRobotSecret"
    # Refused is what is taken, or gone, or was the old password.
    with contextlib.suppress(Conflict, Denied, NotFound):
        await write.call(world)
    assert [change.kind for change in await world.changes()] == ([write.kind] if secret_again else [])


async def test_a_create_that_is_repeated_by_its_key_records_one_change(world: World) -> None:
    request = project_service_pb2.CreateProjectRequest(name="new", idempotency_key="k")
    for _ in range(3):
        await world.alice.projects.CreateProject(request)
    assert [change.resource_name for change in await world.changes()] == ["new"]


async def test_what_was_refused_records_nothing(world: World) -> None:
    bob, stale = world.bob, "1-999"
    refused: list[Awaitable[Any]] = [
        bob.users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=world.alice.id, comment="x")),
        bob.users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=bob.id, comment="x", etag=stale)),
        bob.users.UpdateUser(user_service_pb2.UpdateUserRequest(user_id=bob.id, email="alice@example.org")),
        bob.users.ChangeUserPassword(
            user_service_pb2.ChangeUserPasswordRequest(
                user_id=bob.id, old_password="Wrong-one-1", new_password=NEW_PASSWORD
            )
        ),
        world.authsvc.admin.users.SetUserAdministrator(
            user_service_pb2.SetUserAdministratorRequest(user_id=world.authsvc.admin.id, administrator=False)
        ),
        world.authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=999)),
        bob.projects.UpdateProject(project_service_pb2.UpdateProjectRequest(project=TEAM, public=True)),
        bob.members.DeleteMember(member_service_pb2.DeleteMemberRequest(project=TEAM, member_id=world.member_id)),
        bob.robots.DeleteRobot(robot_service_pb2.DeleteRobotRequest(robot_id=world.robot_id)),
        bob.make_robot("team", "mine", "repository:pull"),
    ]
    for call in refused:
        with pytest.raises(DomainError):
            await call
    assert await world.changes() == []


async def test_enabling_and_taking_a_right_are_told_from_their_opposites(world: World) -> None:
    users_ = world.authsvc.admin.users
    for flag in (True, False):
        await users_.SetUserDisabled(user_service_pb2.SetUserDisabledRequest(user_id=world.bob.id, disabled=flag))
    for flag in (True, False):
        await users_.SetUserAdministrator(
            user_service_pb2.SetUserAdministratorRequest(user_id=world.bob.id, administrator=flag)
        )
    assert [(change.kind, change.new) for change in await world.changes()] == [
        (ChangeKind.USER_DISABLED, {"disabled": True}),
        (ChangeKind.USER_ENABLED, {"disabled": False}),
        (ChangeKind.USER_ADMINISTRATOR_SET, {"administrator": True}),
        (ChangeKind.USER_ADMINISTRATOR_SET, {"administrator": False}),
    ]


async def test_no_password_secret_or_hash_stands_in_the_log(world: World) -> None:
    secrets = [PASSWORD, NEW_PASSWORD, SECRET, "argon2", "hmac-sha256", world.alice.token, world.bob.token]
    random = (await world.alice.make_robot("team", "random", "repository:pull")).secret
    # Deletes last, and before them what ends bob's right to log in.
    ending = ("/SetUserDisabled", "/Delete")
    for write in sorted(WRITES, key=lambda write: any(name in write.rpc for name in ending)):
        # An earlier delete may have taken with it what a later one names.
        with contextlib.suppress(NotFound):
            await write.call(world)
    async with world.database.read() as conn:
        rows = [dict(row) for row in (await conn.execute(select(change_log.changes))).mappings()]
    assert {row["kind"] for row in rows} >= {"user_password_changed", "robot_secret_changed", "robot_created"}
    text = json.dumps(rows, default=str)
    assert [secret for secret in [*secrets, random] if secret in text] == []


async def test_the_first_start_is_recorded_as_authsvcs_own(authsvc: AuthService, migrated_database: Database) -> None:
    async with migrated_database.read() as conn:
        start = await change_log.position(conn)
        page = await change_log.read(conn, LogPosition(epoch=start.epoch, revision=0))
    first = [committed.change for committed in page.changes]
    assert [(change.kind, change.resource_name, change.origin.actor) for change in first] == [
        (ChangeKind.USER_CREATED, "admin", Actor("service", name="authsvc")),
        (ChangeKind.PROJECT_CREATED, "library", Actor("service", name="authsvc")),
    ]
