"""Robots of the system level: many projects, every project, the system level, and denied permissions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2, project_service_pb2, robot_pb2, user_service_pb2
from roadstead.auth.v1 import robot_service_pb2 as pb
from roadstead.auth.v1.access_service_pb2_grpc import AccessServiceStub
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from svckit.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated
from svckit.sql.database import Database
from tests.contract.metasvc.statements import sent_statements
from tests.harness.authsvc import AuthService, Caller, permission_group

PULL = "repository:pull"
PUSH = "repository:push"


async def machine(authsvc: AuthService, name: str, *groups: robot_pb2.RobotPermission, **fields: object) -> Caller:
    """A new robot of the system level, logged in."""
    created = await authsvc.admin.make_system_robot(name, *groups, **fields)
    return await authsvc.log_in(created.name, created.secret)


async def get(caller: Caller, robot_id: int) -> robot_pb2.Robot:
    robot: robot_pb2.Robot = (await caller.robots.GetRobot(pb.GetRobotRequest(robot_id=robot_id))).robot
    return robot


async def may(caller: Caller, project: str, permission: str) -> bool:
    resource, action = permission.split(":")
    answer = await caller.access.CheckAccess(
        access_service_pb2.CheckAccessRequest(project=ProjectRef(name=project), resource=resource, action=action)
    )
    assert answer.visible or not answer.allowed
    return bool(answer.allowed)


async def may_system(caller: Caller, permission: str) -> bool:
    resource, action = permission.split(":")
    answer = await caller.access.CheckSystemAccess(
        access_service_pb2.CheckSystemAccessRequest(resource=resource, action=action)
    )
    return bool(answer.allowed)


async def accessible(caller: Caller, permission: str) -> tuple[bool, list[int]]:
    resource, action = permission.split(":")
    answer = await caller.access.ListAccessibleProjects(
        access_service_pb2.ListAccessibleProjectsRequest(resource=resource, action=action)
    )
    return answer.all, list(answer.project_ids)


async def projects(caller: Caller) -> list[str]:
    answer = await caller.projects.ListProjects(project_service_pb2.ListProjectsRequest(page_size=100))
    return [project.name for project in answer.projects]


async def granted(caller: Caller, *scopes: str) -> dict[str, list[str]]:
    """What a registry token allows, by name."""
    answer = await caller.registry_token(*scopes)
    return {entry.name: list(entry.actions) for entry in answer.access}


async def delete_project(authsvc: AuthService, project_id: int) -> None:
    async with authsvc.service_channel("metasvc") as channel:
        await ProjectServiceStub(channel).DeleteProject(
            project_service_pb2.DeleteProjectRequest(project_id=project_id), metadata=authsvc.admin.metadata
        )


async def test_a_robot_of_two_projects_may_work_in_both_and_nowhere_else(authsvc: AuthService) -> None:
    ids = {name: await authsvc.admin.make_project(name) for name in ("one", "two", "three")}
    robot = await machine(
        authsvc, "ci", permission_group("one", PULL, PUSH), permission_group("two", PULL, "repository:list")
    )
    assert robot.name == "robot$ci"
    assert [await may(robot, name, PUSH) for name in ("one", "two", "three")] == [True, False, False]
    assert [await may(robot, name, PULL) for name in ("one", "two", "three", "library")] == [True, True, False, True]
    scopes = [f"repository:{name}/app:pull,push" for name in ("one", "two", "three")]
    assert await granted(robot, *scopes) == {"one/app": ["pull", "push"], "two/app": ["pull"]}
    assert await accessible(robot, "repository:list") == (False, [1, ids["two"]])
    assert await projects(robot) == ["library", "one", "two"]


async def test_a_robot_of_every_project_may_work_in_later_ones_too(authsvc: AuthService) -> None:
    robot = await machine(authsvc, "ci", permission_group("*", PULL, "repository:list"))
    await authsvc.admin.make_project("later")
    assert await may(robot, "later", PULL)
    assert not await may(robot, "later", PUSH)
    assert await granted(robot, "repository:later/app:pull,push") == {"later/app": ["pull"]}
    assert await accessible(robot, "repository:list") == (True, [])
    # Only what anybody may do in a public project.
    assert await accessible(robot, "tag:list") == (False, [1])
    assert await projects(robot) == ["later", "library"]
    assert not await may_system(robot, "label:create")
    assert await granted(robot, "registry:catalog:*") == {}


async def test_what_is_denied_is_not_held(authsvc: AuthService) -> None:
    ids = {name: await authsvc.admin.make_project(name) for name in ("open", "closed")}
    robot = await machine(
        authsvc,
        "ci",
        permission_group("*", "repository:pull:allow", "repository:list", PUSH, "tag:delete:deny"),
        permission_group("closed", "repository:pull:deny", "repository:list:deny", "tag:delete"),
        permission_group("library", "repository:pull:deny"),
    )
    assert await may(robot, "open", PULL)
    assert not await may(robot, "closed", PULL)
    assert await may(robot, "closed", PUSH)
    assert not await may(robot, "closed", "tag:delete")
    # Also what anybody may do in a public project.
    assert not await may(robot, "library", PULL)
    assert await accessible(robot, "repository:list") == (False, [1, ids["open"]])
    scopes = [f"repository:{name}/app:pull" for name in ("open", "closed", "library")]
    assert await granted(robot, *scopes) == {"open/app": ["pull"]}
    held = await robot.users.ListCurrentUserPermissions(
        user_service_pb2.ListCurrentUserPermissionsRequest(scope="/project/closed", relative=True)
    )
    assert {(each.resource, each.action) for each in held.permissions} == {("repository", "push")}
    shown = await get(authsvc.admin, robot.id)
    assert [[(each.action, each.effect) for each in group.access] for group in shown.permissions] == [
        [("list", ""), ("pull", "allow"), ("push", ""), ("delete", "deny")],
        [("list", "deny"), ("pull", "deny"), ("delete", "")],
        [("pull", "deny")],
    ]


async def test_the_system_level_is_held_only_as_given(authsvc: AuthService) -> None:
    robot = await machine(
        authsvc, "ops", permission_group("/", "user:list", "catalog:read", "project:create", "quota:read:deny")
    )
    assert [await may_system(robot, each) for each in ("user:list", "user:create", "quota:read", "label:create")] == [
        True,
        False,
        False,
        False,
    ]
    assert (await robot.users.ListUsers(user_service_pb2.ListUsersRequest())).users
    with pytest.raises(Denied):
        await robot.users.CreateUser(user_service_pb2.CreateUserRequest(username="x", password="Correct-horse-1"))
    assert await granted(robot, "registry:catalog:*") == {"catalog": ["*"]}
    # It may read the catalog, but no project.
    await authsvc.admin.make_project("team")
    assert not await may(robot, "team", PULL)
    assert await projects(robot) == ["library"]


async def test_a_project_that_a_robot_creates_belongs_to_an_administrator(authsvc: AuthService) -> None:
    robot = await machine(authsvc, "ops", permission_group("/", "project:create"))
    await robot.make_project("made")
    made = (
        await authsvc.admin.projects.GetProject(project_service_pb2.GetProjectRequest(project=ProjectRef(name="made")))
    ).project
    assert (made.owner_name, list(made.current_user_role_ids)) == ("admin", [1])
    # As in Harbor, it may set a limit.
    assert await robot.make_project("limited", storage_limit_bytes=5)
    # It has no rights in what it created.
    assert not await may(robot, "made", "project:read")
    await authsvc.admin.make_project("team")
    small = await authsvc.admin.make_robot("team", "ci", PULL)
    with pytest.raises(Denied):
        await (await authsvc.log_in(small.name, small.secret)).make_project("no")


async def test_nobody_makes_administrators_by_a_robot(authsvc: AuthService) -> None:
    robot = await machine(authsvc, "ops", permission_group("/", "user:create", "user:update", "user:list"))
    bob = await authsvc.user("bob")
    with pytest.raises(Denied):
        await robot.users.SetUserAdministrator(
            user_service_pb2.SetUserAdministratorRequest(user_id=bob.id, administrator=True)
        )


async def test_a_project_made_anew_is_another_project(authsvc: AuthService) -> None:
    old = await authsvc.admin.make_project("team")
    await authsvc.admin.make_project("other")
    robot = await machine(authsvc, "ci", permission_group("team", PULL, PUSH), permission_group("other", PULL))
    gone = await authsvc.admin.make_robot("team", "ci", PULL)
    await delete_project(authsvc, old)
    bob = await authsvc.user("bob")
    await bob.make_project("team")
    assert not await may(robot, "team", PULL)
    assert await granted(robot, "repository:team/app:pull", "repository:other/app:pull") == {"other/app": ["pull"]}
    assert [group.namespace for group in (await get(authsvc.admin, robot.id)).permissions] == ["other"]
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(gone.name, gone.secret)
    with pytest.raises(NotFound):
        await get(authsvc.admin, gone.id)
    # The name is free in the new project.
    assert (await bob.make_robot("team", "ci", PULL)).id > gone.id


async def test_a_namespace_is_a_name_and_never_an_id(authsvc: AuthService) -> None:
    secret = await authsvc.admin.make_project("secret")
    alice = await authsvc.user("alice")
    await alice.make_project(str(secret))
    made = await alice.make_robot(str(secret), "123", PULL)
    assert made.name == f"robot${secret}+123"
    robot = await authsvc.log_in(made.name, made.secret)
    wide = await machine(authsvc, "123", permission_group(str(secret), PULL))
    assert wide.name == "robot$123"
    for caller in (robot, wide):
        assert await may(caller, str(secret), PULL)
        assert not await may(caller, "secret", PULL)
    with pytest.raises(NotFound):
        await authsvc.admin.make_system_robot("x", permission_group(str(secret + 100), PULL))


async def test_robots_of_both_levels_have_names_of_their_own(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    wide = await authsvc.admin.make_system_robot("ci", permission_group("*", PULL))
    small = await authsvc.admin.make_robot("team", "ci", PULL)
    assert (wide.name, small.name) == ("robot$ci", "robot$team+ci")
    with pytest.raises(Conflict):
        await authsvc.admin.make_system_robot("ci", permission_group("*", PUSH))
    strange = [
        "robot$+ci",
        "robot$ci+",
        "robot$",
        "ci",
        "$ci",
        "robot$team+",
        "robot$team++ci",
        "robot$ci\0",
        "robot%24ci",
    ]
    strange += [
        "ROBOT$ci",
        "robot$CI",
        " robot$ci",
        "robot$ci ",
        "robot$robot$ci",
        "robot$team%2Bci",
        "robot\uff04ci",
        "+ci",
    ]
    strange += [f"robot${wide.id}", f"robot$/{wide.name}", "robot$*+ci", "robot$/+ci"]
    for name in strange:
        for secret in (wide.secret, small.secret):
            with pytest.raises(Unauthenticated):
                await authsvc.log_in(name, secret)
    for name, secret in ((wide.name, small.secret), (small.name, wide.secret)):
        with pytest.raises(Unauthenticated):
            await authsvc.log_in(name, secret)
    assert (await authsvc.log_in(wide.name, wide.secret)).id == wide.id
    assert (await authsvc.log_in(small.name, small.secret)).id == small.id


async def test_a_system_robot_is_listed_read_and_changed_by_administrators_only(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    project_id = await alice.make_project("team")
    wide = await authsvc.admin.make_system_robot("ci", permission_group("team", PULL), description="all")
    await authsvc.admin.make_system_robot("a", permission_group("/", "label:create"))
    await alice.make_robot("team", "ci", PULL)

    async def listed(caller: Caller, **fields: object) -> list[str]:
        answer = await caller.robots.ListRobots(pb.ListRobotsRequest(with_total=True, **fields))  # type: ignore[arg-type]
        assert answer.total_size == len(answer.robots)
        return [robot.name for robot in answer.robots]

    assert await listed(authsvc.admin) == await listed(authsvc.admin, q="Level=system") == ["robot$a", "robot$ci"]
    assert await listed(authsvc.admin, q="Level=system,ProjectID=0,name=ci") == ["robot$ci"]
    assert await listed(authsvc.admin, q=f"Level=project,ProjectID={project_id}") == ["robot$team+ci"]
    assert await listed(alice, project=ProjectRef(name="team")) == ["robot$team+ci"]
    assert await listed(alice, project=ProjectRef(name="team"), q="Level=system") == []
    assert await listed(authsvc.admin, q=f"Level=system,ProjectID={project_id}") == []
    for wrong in ("Level=project", "Level=project,ProjectID=0", "Level=galaxy", "Level=~sys", "Level={project system}"):
        with pytest.raises(Invalid):
            await listed(authsvc.admin, q=wrong)
    for q in ("", "Level=system"):
        with pytest.raises(Denied):
            await listed(alice, q=q)
    robot = await get(authsvc.admin, wide.id)
    assert (robot.level, robot.editable, robot.creator_type, robot.creator_id) == ("system", True, "local", 1)
    assert list(robot.permissions) == [permission_group("team", PULL)]
    for call in (
        get(alice, wide.id),
        alice.robots.UpdateRobot(pb.UpdateRobotRequest(robot_id=wide.id, disabled=True)),
        alice.robots.RefreshRobotSecret(pb.RefreshRobotSecretRequest(robot_id=wide.id)),
        alice.robots.DeleteRobot(pb.DeleteRobotRequest(robot_id=wide.id)),
    ):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "ROBOT_UNKNOWN"
    with pytest.raises(Denied):
        await alice.make_system_robot("mine", permission_group("team", PULL))
    await authsvc.admin.robots.DeleteRobot(pb.DeleteRobotRequest(robot_id=wide.id))
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(wide.name, wide.secret)


async def test_an_update_replaces_all_grants_and_repeats_what_cannot_change(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    wide = await authsvc.admin.make_system_robot(
        "ci", permission_group("*", PULL), permission_group("/", "label:create"), duration_days=3
    )

    async def update(**fields: object) -> robot_pb2.Robot:
        request = pb.UpdateRobotRequest(robot_id=wide.id, **fields)  # type: ignore[arg-type]
        answer: robot_pb2.Robot = (await authsvc.admin.robots.UpdateRobot(request)).robot
        return answer

    groups = robot_pb2.RobotPermissions(permissions=[permission_group("team", PUSH)])
    changed = await update(permissions=groups, name=wide.name, level="system", duration_days=5)
    assert list(changed.permissions) == [permission_group("team", PUSH)]
    assert changed.expire_time_unix_seconds - changed.create_time.seconds == 5 * 86400
    assert changed == await get(authsvc.admin, wide.id)
    for wrong in ({"name": "ci"}, {"name": ""}, {"level": "project"}, {"level": ""}):
        with pytest.raises(Invalid, match="cannot update the level or name of robot"):
            await update(**wrong)
    with pytest.raises(NotFound):
        await update(permissions=robot_pb2.RobotPermissions(permissions=[permission_group("nothing", PUSH)]))
    robot = await authsvc.log_in(wide.name, wide.secret)
    assert await may(robot, "team", PUSH)
    assert not await may_system(robot, "label:create")
    authsvc.clock.ahead = timedelta(days=5, seconds=1)
    with pytest.raises(Unauthenticated):
        await may(robot, "team", PUSH)
    authsvc.clock.ahead = timedelta(days=4)
    await update(disabled=True)
    with pytest.raises(Unauthenticated):
        await may(robot, "team", PUSH)


async def test_an_upload_goes_on_only_as_long_as_the_robot_may_push(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    everywhere = await authsvc.admin.make_system_robot("a", permission_group("*", PUSH))
    denied = await authsvc.admin.make_system_robot(
        "b", permission_group("*", PUSH), permission_group("team", f"{PUSH}:deny")
    )
    expiring = await authsvc.admin.make_system_robot("c", permission_group("team", PUSH), duration_days=1)

    async def may_still(robot: robot_pb2.CreatedRobot) -> bool:
        request = access_service_pb2.CheckSubjectAccessRequest(
            subject=f"robot:{robot.id}", project=ProjectRef(name="team"), resource="repository", action="push"
        )
        async with authsvc.service_channel("metasvc") as channel:
            return bool((await AccessServiceStub(channel).CheckSubjectAccess(request)).allowed)

    assert [await may_still(robot) for robot in (everywhere, denied, expiring)] == [True, False, True]
    await authsvc.admin.robots.UpdateRobot(pb.UpdateRobotRequest(robot_id=everywhere.id, disabled=True))
    authsvc.clock.ahead = timedelta(days=1, seconds=1)
    assert [await may_still(robot) for robot in (everywhere, denied, expiring)] == [False, False, False]


async def test_what_a_robot_may_do_is_found_by_keys(authsvc: AuthService, migrated_database: Database) -> None:
    await authsvc.admin.make_project("team")
    groups = (
        permission_group("team", PULL),
        permission_group("*", "repository:list"),
        permission_group("/", "user:list"),
    )
    robot = await machine(authsvc, "ci", *groups)
    with sent_statements("SELECT") as sent:
        await may(robot, "team", PULL)
        await may_system(robot, "user:list")
        await granted(robot, "repository:team/app:pull", "registry:catalog:*")
        await accessible(robot, "repository:list")
        await accessible(robot, "tag:list")
        await projects(robot)
        for name in (robot.name, "robot$team+ci"):
            with pytest.raises(Unauthenticated):
                await authsvc.log_in(name, "Wrong-secret-1")
    asked = [statement for statement in sent if "robot" in statement]
    assert len(asked) >= 8
    if migrated_database.dialect != "sqlite":
        # The tables are too small for PostgreSQL's planner to need an index. The indexes are the same.
        return
    async with migrated_database.read() as conn:
        for statement in asked:
            values = (1,) * statement.count("?")
            rows = (await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)).mappings().all()
            steps = [str(row["detail"]) for row in rows]
            assert any(step.startswith("SEARCH robot") for step in steps), (statement, steps)
            assert not [step for step in steps if step.startswith("SCAN robot")], (statement, steps)
            if "robot.name = ?" in statement:
                assert any("(scope_id=? AND name=?)" in step for step in steps), (statement, steps)
