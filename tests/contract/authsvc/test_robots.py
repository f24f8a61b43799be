from datetime import timedelta

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import robot_pb2, user_service_pb2
from roadstead.auth.v1 import robot_service_pb2 as pb
from svckit.errors import Conflict, Denied, Invalid, NotFound, Precondition, Unauthenticated
from tests.harness.authsvc import AuthService, Caller, permission_group

TEAM = ProjectRef(name="team")
PULL = permission_group("team", "repository:pull")


def create(**fields: object) -> pb.CreateRobotRequest:
    given = {"name": "ci", "level": "project", "duration_days": 30, "permissions": [PULL], **fields}
    return pb.CreateRobotRequest(**given)  # type: ignore[arg-type]


def permissions(*groups: robot_pb2.RobotPermission) -> robot_pb2.RobotPermissions:
    return robot_pb2.RobotPermissions(permissions=groups)


async def get(caller: Caller, robot_id: int) -> robot_pb2.Robot:
    robot: robot_pb2.Robot = (await caller.robots.GetRobot(pb.GetRobotRequest(robot_id=robot_id))).robot
    return robot


async def listed(caller: Caller, **fields: object) -> list[str]:
    answer = await caller.robots.ListRobots(pb.ListRobotsRequest(with_total=True, **fields))  # type: ignore[arg-type]
    assert answer.total_size >= len(answer.robots)
    return [robot.name for robot in answer.robots]


async def test_a_robot_logs_in_with_a_secret_that_is_shown_once(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    created = (await alice.robots.CreateRobot(create(description="builds"))).robot
    assert created.name == "robot$team+ci"
    assert len(created.secret) >= 32
    robot = await get(alice, created.id)
    assert (robot.name, robot.description, robot.level, robot.duration_days) == (created.name, "builds", "project", 30)
    assert (robot.creator_type, robot.creator_id, robot.editable) == ("local", alice.id, True)
    assert robot.expire_time_unix_seconds - robot.create_time.seconds == 30 * 86400
    assert list(robot.permissions) == [PULL]
    assert created.secret not in str(robot)
    machine = await authsvc.log_in(created.name, created.secret)
    assert machine.id == created.id
    # Its id would look like a user's.
    with pytest.raises(Precondition):
        await machine.users.GetCurrentUser(user_service_pb2.GetCurrentUserRequest())
    for name, secret in ((created.name, "wrong"), ("robot$team+no", created.secret), ("robot$ci", created.secret)):
        with pytest.raises(Unauthenticated):
            await authsvc.log_in(name, secret)


async def test_a_name_is_taken_once_in_a_project(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    await alice.make_project("other")
    await alice.robots.CreateRobot(create())
    with pytest.raises(Conflict):
        await alice.robots.CreateRobot(create())
    await alice.robots.CreateRobot(create(permissions=[permission_group("other", "repository:pull")]))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "CI"},
        {"name": "a" * 256},
        {"name": "a+b"},
        {"level": "galaxy"},
        {"duration_days": 0},
        {"duration_days": -2},
        {"duration_days": 10**9},
        {"permissions": []},
        {"permissions": [permission_group("team")]},
        {"permissions": [PULL, permission_group("library", "repository:pull")]},
        {"permissions": [permission_group("team", "repository:destroy")]},
        {"permissions": [permission_group("team", "robot:update")]},
        {"permissions": [permission_group("", "repository:pull")]},
        {"permissions": [robot_pb2.RobotPermission(kind="system", namespace="/", access=PULL.access)]},
        {
            "permissions": [
                robot_pb2.RobotPermission(
                    kind="project",
                    namespace="team",
                    access=[robot_pb2.RobotAccess(resource="repository", action="pull", effect="perhaps")],
                )
            ]
        },
        {"permissions": [permission_group("*", "repository:pull")]},
        {"description": "a" * 1025},
        {"secret": "weak"},
    ],
)
async def test_what_breaks_a_rule_is_refused(authsvc: AuthService, fields: dict[str, object]) -> None:
    await authsvc.admin.make_project("team")
    with pytest.raises(Invalid):
        await authsvc.admin.robots.CreateRobot(create(**fields))


async def test_a_chosen_secret_is_kept_like_a_password(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    created = (await authsvc.admin.robots.CreateRobot(create(secret="Chosen-secret-1"))).robot
    assert created.secret == "Chosen-secret-1"
    await authsvc.log_in(created.name, "Chosen-secret-1")
    async with authsvc.store.read() as unit:
        found = await unit.robots.credentials("team", "ci")
    assert found is not None
    assert found[1].startswith("$argon2id$")


async def test_an_expired_robot_is_refused_also_by_a_token_from_before(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    created = await authsvc.admin.make_robot("team", "ci", "repository:pull", duration_days=1)
    machine = await authsvc.log_in(created.name, created.secret)
    assert (await machine.registry_token("repository:team/a:pull")).access
    authsvc.clock.ahead = timedelta(days=1, seconds=1)
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(created.name, created.secret)
    with pytest.raises(Unauthenticated):
        await machine.registry_token("repository:team/a:pull")
    # A longer life counts from its creation, and lets it in again.
    await authsvc.admin.robots.UpdateRobot(pb.UpdateRobotRequest(robot_id=created.id, duration_days=-1))
    await authsvc.log_in(created.name, created.secret)


async def test_an_update_changes_what_it_names_and_a_disabled_robot_is_refused(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    created = await alice.make_robot("team", "ci", "repository:pull", duration_days=7)

    def update(**fields: object) -> pb.UpdateRobotRequest:
        given = {
            "robot_id": created.id,
            "permissions": permissions(permission_group("team", "repository:push", "tag:list")),
            **fields,
        }
        return pb.UpdateRobotRequest(**given)  # type: ignore[arg-type]

    answer = await alice.robots.UpdateRobot(
        update(description="new", disabled=True, name=created.name, level="project")
    )
    robot = await get(alice, created.id)
    assert answer.robot == robot
    assert (robot.description, robot.disabled, robot.duration_days) == ("new", True, 7)
    assert list(robot.permissions) == [permission_group("team", "repository:push", "tag:list")]
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(created.name, created.secret)
    await alice.robots.UpdateRobot(update(disabled=False))
    await authsvc.log_in(created.name, created.secret)
    await alice.make_project("other")
    refused: tuple[dict[str, object], ...] = (
        {"name": "robot$team+other"},
        {"level": "system"},
        {"permissions": permissions(permission_group("other", "repository:pull"))},
        {"permissions": permissions()},
        {"duration_days": 0},
    )
    for wrong in refused:
        with pytest.raises(Invalid):
            await alice.robots.UpdateRobot(update(**wrong))


async def test_a_new_secret_ends_the_old_one_at_once(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    created = await authsvc.admin.make_robot("team", "ci", "repository:pull")
    await authsvc.log_in(created.name, created.secret)
    refreshed = await authsvc.admin.robots.RefreshRobotSecret(pb.RefreshRobotSecretRequest(robot_id=created.id))
    assert refreshed.secret.secret != created.secret
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(created.name, created.secret)
    await authsvc.log_in(created.name, refreshed.secret.secret)
    chosen = pb.RefreshRobotSecretRequest(robot_id=created.id, secret="Chosen-secret-1")
    # As in Harbor, a caller that chose the secret is not told it again.
    assert (await authsvc.admin.robots.RefreshRobotSecret(chosen)).secret.secret == ""
    await authsvc.log_in(created.name, "Chosen-secret-1")


async def test_a_deleted_robot_is_gone(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    created = await authsvc.admin.make_robot("team", "ci", "repository:pull")
    machine = await authsvc.log_in(created.name, created.secret)
    await authsvc.admin.robots.DeleteRobot(pb.DeleteRobotRequest(robot_id=created.id))
    with pytest.raises(NotFound):
        await get(authsvc.admin, created.id)
    with pytest.raises(NotFound):
        await authsvc.admin.robots.DeleteRobot(pb.DeleteRobotRequest(robot_id=created.id))
    with pytest.raises(Unauthenticated):
        await machine.users.GetCurrentUser(user_service_pb2.GetCurrentUserRequest())
    again = await authsvc.admin.make_robot("team", "ci", "repository:pull")
    assert again.id > created.id


async def test_nobody_gives_a_robot_more_than_they_hold(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    made = await alice.make_robot(
        "team", "maker", "robot:create", "robot:read", "robot:list", "robot:delete", "repository:pull"
    )
    maker = await authsvc.log_in(made.name, made.secret)
    small = await maker.make_robot("team", "small", "repository:pull")
    robot = await get(maker, small.id)
    assert (robot.creator_type, robot.creator_id) == ("robot", made.id)
    for permission in ("repository:push", "member:create", "project:delete"):
        with pytest.raises(Denied):
            await maker.make_robot("team", "big", "repository:pull", permission)
    # What a project's administrator may read of it, they may have listed.
    await alice.make_robot("team", "reader", "metadata:list")


async def test_a_robot_is_not_there_for_who_may_not_read_it(authsvc: AuthService) -> None:
    alice, bob, carol = [await authsvc.user(name) for name in ("alice", "bob", "carol")]
    await alice.make_project("team", public=True)
    created = await alice.make_robot("team", "ci", "repository:pull")
    await alice.add_member("team", bob, "developer")
    update = pb.UpdateRobotRequest(robot_id=created.id, description="x")
    refresh = pb.RefreshRobotSecretRequest(robot_id=created.id)
    delete = pb.DeleteRobotRequest(robot_id=created.id)
    assert (await get(bob, created.id)).id == created.id
    for call in (
        bob.robots.UpdateRobot(update),
        bob.robots.RefreshRobotSecret(refresh),
        bob.robots.DeleteRobot(delete),
    ):
        with pytest.raises(Denied):
            await call
    for call in (
        get(carol, created.id),
        carol.robots.UpdateRobot(update),
        carol.robots.RefreshRobotSecret(refresh),
        carol.robots.DeleteRobot(delete),
        get(carol, 999),
    ):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "ROBOT_UNKNOWN"
    for call in (get(authsvc.anonymous, created.id), get(authsvc.anonymous, 999)):
        with pytest.raises(Unauthenticated):
            await call
    with pytest.raises(Denied):
        await carol.make_robot("team", "mine", "repository:pull")
    with pytest.raises(NotFound):
        await carol.make_robot("nothing", "mine", "repository:pull")


async def test_robots_are_listed_by_project_in_every_way_that_clients_name_it(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    project_id = await alice.make_project("team")
    await alice.make_project("other")
    for name in ("b", "a", "c"):
        await alice.make_robot("team", name, "repository:pull")
    await alice.make_robot("other", "x", "repository:pull")
    everything = ["robot$team+a", "robot$team+b", "robot$team+c"]
    assert await listed(alice, project=TEAM) == everything
    assert await listed(alice, project=ProjectRef(id=project_id)) == everything
    assert await listed(alice, q=f"Level=project,ProjectID={project_id}") == everything
    assert await listed(alice, project=TEAM, q="name=~B") == ["robot$team+b"]
    for named in ("name=team+b", "name={team+b x}", "name={b}"):
        assert await listed(alice, project=TEAM, q=named.replace("+", "%2B")) == ["robot$team+b"]
    assert await listed(alice, project=TEAM, q="name=other%2Bb") == []
    assert await listed(alice, project=TEAM, q=f"creator_ref={alice.id},disabled=false,duration=-1") == everything
    assert await listed(alice, project=TEAM, q="disabled=true") == []
    assert await listed(alice, project=TEAM, q="description=~x") == []
    assert await listed(alice, project=TEAM, q="creation_time=[2020-01-01T00:00:00~]") == everything
    assert await listed(alice, project=TEAM, q="update_time=[~2020-01-01T00:00:00]") == []
    assert await listed(alice, project=TEAM, q="id=[1~2]") == ["robot$team+a", "robot$team+b"]
    assert await listed(alice, project=TEAM, sort="-creation_time", page_size=2) == ["robot$team+c", "robot$team+a"]
    first = await alice.robots.ListRobots(pb.ListRobotsRequest(project=TEAM, page_size=2, with_total=True))
    assert first.total_size == 3
    assert await listed(alice, project=TEAM, page_size=2, page_token=first.next_page_token) == ["robot$team+c"]
    # On the system level there are none, and only administrators hear that.
    assert await listed(authsvc.admin) == []
    assert await listed(authsvc.admin, q="Level=system") == []
    with pytest.raises(Denied):
        await listed(alice)
    with pytest.raises(Invalid):
        await listed(alice, q="Level=galaxy")
    bob = await authsvc.user("bob")
    with pytest.raises(NotFound):
        await listed(bob, project=TEAM)
