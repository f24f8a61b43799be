"""A create that is repeated with its key makes nothing twice, on both databases, and answers as the first call did."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from authsvc.store.tables import idempotency
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import (
    member_service_pb2,
    project_service_pb2,
    robot_pb2,
    robot_service_pb2,
    user_service_pb2,
)
from roadstead.auth.v1.member_pb2 import MemberUser
from svckit.errors import Conflict, Denied, Invalid, NotFound
from svckit.sql.database import Database
from tests.harness.authsvc import IDEMPOTENCY_KEY_SECONDS, PASSWORD, ROLES, AuthService, Caller, permission_group

TEAM = ProjectRef(name="team")
SECRET = "Chosen-secret-1"


@dataclass
class Create:
    """One kind of create: by whom, with what, and what would be another request."""

    call: Callable[[Any], Awaitable[Any]]
    request: Any
    others: list[Any]

    def __post_init__(self) -> None:
        for request in (self.request, *self.others):
            request.idempotency_key = "a-key-of-alices"


async def create_user(authsvc: AuthService, _alice: Caller) -> Create:
    def request(username: str = "dora", password: str = PASSWORD, **fields: str) -> Any:
        named = {"email": f"{username}@example.org", "realname": username, **fields}
        return user_service_pb2.CreateUserRequest(username=username, password=password, **named)

    return Create(
        authsvc.admin.users.CreateUser,
        request(),
        [request("erik"), request(comment="new"), request(password="Battery-staple-2")],
    )


async def create_project(_authsvc: AuthService, alice: Caller) -> Create:
    request = project_service_pb2.CreateProjectRequest
    return Create(
        alice.projects.CreateProject,
        request(name="new", metadata={"severity": "high", "reuse_sys_cve_allowlist": "true"}),
        [request(name="other"), request(name="new"), request(name="new", public=True)],
    )


async def create_member(authsvc: AuthService, alice: Caller) -> Create:
    bob = await authsvc.user("bob")

    def request(role_id: int, **member_user: Any) -> Any:
        return member_service_pb2.CreateMemberRequest(
            project=TEAM, role_id=role_id, member_user=MemberUser(**member_user)
        )

    return Create(
        alice.members.CreateMember, request(3, user_id=bob.id), [request(2, user_id=bob.id), request(3, user_id=1)]
    )


async def create_robot(_authsvc: AuthService, alice: Caller) -> Create:
    def request(name: str = "ci", secret: str = SECRET, days: int = 7) -> Any:
        pull = permission_group("team", "repository:pull")
        return robot_service_pb2.CreateRobotRequest(name=name, duration_days=days, secret=secret, permissions=[pull])

    return Create(
        alice.robots.CreateRobot, request(), [request("cd"), request(days=8), request(secret="Chosen-secret-2")]
    )


@pytest.fixture
async def alice(authsvc: AuthService) -> Caller:
    """A user with a project "team"."""
    caller = await authsvc.user("alice")
    await caller.make_project("team")
    return caller


@pytest.fixture(params=[create_user, create_project, create_member, create_robot], ids=lambda made: made.__name__)
async def create(request: pytest.FixtureRequest, authsvc: AuthService, alice: Caller) -> Create:
    """Each kind of create that takes a key."""
    made: Create = await request.param(authsvc, alice)
    return made


async def test_repeats_answer_as_the_first_call_also_when_all_come_at_once(create: Create) -> None:
    answers = await asyncio.gather(*(create.call(create.request) for _ in range(4)))
    assert answers == [answers[0]] * 4
    assert await create.call(create.request) == answers[0]


async def test_another_request_under_the_same_key_is_refused(create: Create) -> None:
    first = await create.call(create.request)
    for other in create.others:
        with pytest.raises(Conflict, match="idempotency key was used for another request"):
            await create.call(other)
    assert await create.call(create.request) == first


async def test_a_call_that_was_refused_leaves_its_key_free(create: Create) -> None:
    kept = type(create.request)()
    kept.CopyFrom(create.request)
    kept.ClearField("idempotency_key")
    await create.call(kept)
    for _ in range(2):
        # The name is taken, and nothing was made under this key.
        with pytest.raises(Conflict, match=r"taken|already"):
            await create.call(create.request)


async def test_a_key_counts_for_its_time_only(authsvc: AuthService, create: Create) -> None:
    first = await create.call(create.request)
    authsvc.clock.ahead = timedelta(seconds=IDEMPOTENCY_KEY_SECONDS - 60)
    assert await create.call(create.request) == first
    authsvc.clock.ahead = timedelta(seconds=IDEMPOTENCY_KEY_SECONDS + 1)
    with pytest.raises(Conflict, match=r"taken|already"):
        await create.call(create.request)


async def test_neither_key_nor_secret_lies_in_the_table(create: Create, migrated_database: Database) -> None:
    await create.call(create.request)
    async with migrated_database.read() as conn:
        (row,) = (await conn.execute(select(idempotency))).all()
    for clear in ("a-key-of-alices", PASSWORD, SECRET):
        assert clear not in str(row)
    assert row.secret_hash == "" or row.secret_hash.startswith("$argon2id$")


async def test_a_key_is_its_callers_own(authsvc: AuthService, alice: Caller) -> None:
    bob = await authsvc.user("bob")
    request = project_service_pb2.CreateProjectRequest(name="new", idempotency_key="k")
    await alice.projects.CreateProject(request)
    with pytest.raises(Conflict, match="exists already"):
        await bob.projects.CreateProject(request)
    # Nor is it the same key for another kind of thing.
    assert (await alice.projects.CreateProject(request)).project.name == "new"
    member = member_service_pb2.CreateMemberRequest(
        project=TEAM, role_id=3, member_user=MemberUser(username="bob"), idempotency_key="k"
    )
    assert (await alice.members.CreateMember(member)).member.entity_name == "bob"


async def test_access_is_judged_again_when_an_answer_is_repeated(authsvc: AuthService, alice: Caller) -> None:
    bob, carol = await authsvc.user("bob"), await authsvc.user("carol")
    bobs = await alice.add_member("team", bob, "projectAdmin")
    robot = (await create_robot(authsvc, bob)).request
    member = member_service_pb2.CreateMemberRequest(
        project=TEAM, role_id=3, member_user=MemberUser(user_id=carol.id), idempotency_key="k"
    )
    await bob.robots.CreateRobot(robot)
    await bob.members.CreateMember(member)
    weaker = member_service_pb2.UpdateMemberRequest(project=TEAM, member_id=bobs, role_id=ROLES["guest"])
    await alice.members.UpdateMember(weaker)
    for call in (bob.robots.CreateRobot(robot), bob.members.CreateMember(member)):
        with pytest.raises(Denied):
            await call
    await alice.members.DeleteMember(member_service_pb2.DeleteMemberRequest(project=TEAM, member_id=bobs))
    for call in (bob.robots.CreateRobot(robot), bob.members.CreateMember(member)):
        with pytest.raises(NotFound):
            await call


async def test_a_robots_answer_stays_what_it_was_when_the_robot_changes(alice: Caller) -> None:
    pull = permission_group("team", "repository:pull")
    request = robot_service_pb2.CreateRobotRequest(
        name="ci", duration_days=7, secret=SECRET, permissions=[pull], idempotency_key="k"
    )
    first = (await alice.robots.CreateRobot(request)).robot
    await alice.robots.UpdateRobot(robot_service_pb2.UpdateRobotRequest(robot_id=first.id, duration_days=-1))
    await alice.robots.RefreshRobotSecret(robot_service_pb2.RefreshRobotSecretRequest(robot_id=first.id))
    again: robot_pb2.CreatedRobot = (await alice.robots.CreateRobot(request)).robot
    assert again == first
    assert again.secret == SECRET


async def test_a_random_secret_cannot_be_repeated_and_is_refused_beside_a_key(alice: Caller) -> None:
    pull = permission_group("team", "repository:pull")
    request = robot_service_pb2.CreateRobotRequest(name="ci", duration_days=7, permissions=[pull], idempotency_key="k")
    with pytest.raises(Invalid, match="a repeat could not return it") as refused:
        await alice.robots.CreateRobot(request)
    assert [violation.field for violation in refused.value.violations] == ["secret"]
    request.secret = SECRET
    assert (await alice.robots.CreateRobot(request)).robot.secret == SECRET


async def test_what_was_deleted_is_not_made_a_second_time_under_the_same_key(
    authsvc: AuthService, alice: Caller
) -> None:
    user = await create_user(authsvc, alice)
    dora = (await user.call(user.request)).user
    await authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=dora.id))
    robot = await create_robot(authsvc, alice)
    ci = (await robot.call(robot.request)).robot
    await alice.robots.DeleteRobot(robot_service_pb2.DeleteRobotRequest(robot_id=ci.id))
    for create in (user, robot):
        with pytest.raises(Conflict, match="was deleted"):
            await create.call(create.request)
