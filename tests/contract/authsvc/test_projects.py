import asyncio

import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import project_service_pb2 as pb
from roadstead.auth.v1 import robot_service_pb2, user_service_pb2
from roadstead.auth.v1.configuration_service_pb2 import UpdateConfigurationsRequest
from svckit.errors import Conflict, Denied, Invalid, NotFound, Precondition, Unauthenticated
from tests.harness.authsvc import PASSWORD, AuthService, Caller


async def get(caller: Caller, name: str) -> pb.GetProjectResponse:
    answer: pb.GetProjectResponse = await caller.projects.GetProject(
        pb.GetProjectRequest(project=ProjectRef(name=name))
    )
    return answer


async def names(caller: Caller, **fields: object) -> list[str]:
    answer = await caller.projects.ListProjects(pb.ListProjectsRequest(with_total=True, **fields))  # type: ignore[arg-type]
    assert answer.total_size >= len(answer.projects)
    return [project.name for project in answer.projects]


async def test_who_creates_a_project_owns_and_administers_it(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    created = await alice.projects.CreateProject(
        pb.CreateProjectRequest(
            name="team.a", public=True, metadata={"severity": "high", "reuse_sys_cve_allowlist": "true"}
        )
    )
    project = (await get(alice, "team.a")).project
    assert project == created.project
    assert dict(project.metadata) == {"public": "true", "severity": "high", "reuse_sys_cve_allowlist": "true"}
    assert (project.owner_id, project.owner_name) == (alice.id, "alice")
    assert list(project.current_user_role_ids) == [1]
    assert project.current_user_role_id == 1
    assert project.initial_storage_limit_bytes == -1
    assert (await get(authsvc.anonymous, "team.a")).project.current_user_role_id == 0
    by_id = await alice.projects.GetProject(pb.GetProjectRequest(project=ProjectRef(id=project.id)))
    assert by_id.project == project


async def test_a_name_is_taken_once_and_a_repeat_answers_as_the_first_did(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    request = pb.CreateProjectRequest(name="team", idempotency_key="r1")
    answers = await asyncio.gather(*(alice.projects.CreateProject(request) for _ in range(4)))
    assert {answer.project.id for answer in answers} == {answers[0].project.id}
    assert all(list(answer.project.current_user_role_ids) == [1] for answer in answers)
    for caller, again in (
        (bob, request),
        (alice, pb.CreateProjectRequest(name="team")),
        (alice, pb.CreateProjectRequest(name="other", idempotency_key="r1")),
    ):
        with pytest.raises(Conflict):
            await caller.projects.CreateProject(again)


@pytest.mark.parametrize(
    "request_",
    [
        pb.CreateProjectRequest(name=""),
        pb.CreateProjectRequest(name="Team"),
        pb.CreateProjectRequest(name="a/b"),
        pb.CreateProjectRequest(name="a" * 256),
        pb.CreateProjectRequest(name="team", metadata={"colour": "red"}),
        pb.CreateProjectRequest(name="team", metadata={"public": "yes"}),
        pb.CreateProjectRequest(name="team", metadata={"severity": "awful"}),
        pb.CreateProjectRequest(name="team", metadata={"proxy_speed_kb": "fast"}),
        pb.CreateProjectRequest(name="team", public=True, metadata={"public": "false"}),
        pb.CreateProjectRequest(name="team", storage_limit_bytes=-2),
    ],
)
async def test_what_breaks_a_rule_is_refused(authsvc: AuthService, request_: pb.CreateProjectRequest) -> None:
    with pytest.raises(Invalid):
        await authsvc.admin.projects.CreateProject(request_)


async def test_only_administrators_set_the_storage_limit(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    with pytest.raises(Denied):
        await alice.make_project("big", storage_limit_bytes=10**9)
    await alice.make_project("usual", storage_limit_bytes=-1)
    await authsvc.admin.make_project("big", storage_limit_bytes=10**9)
    assert (await get(authsvc.admin, "big")).project.initial_storage_limit_bytes == 10**9


async def test_a_project_that_may_not_be_seen_answers_as_one_that_is_not_there(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    project_id = await alice.make_project("secret")
    errors = []
    for reference in (
        ProjectRef(name="secret"),
        ProjectRef(id=project_id),
        ProjectRef(name="nothing"),
        ProjectRef(id=999),
    ):
        with pytest.raises(NotFound) as caught:
            await bob.projects.GetProject(pb.GetProjectRequest(project=reference))
        errors.append((caught.value.reason, caught.value.message))
    assert len(set(errors)) == 1
    with pytest.raises(Unauthenticated):
        await get(authsvc.anonymous, "secret")
    assert (await get(authsvc.admin, "secret")).project.id == project_id
    # A name that is taken cannot be hidden.
    await bob.projects.CheckProjectName(pb.CheckProjectNameRequest(project_name="secret"))
    with pytest.raises(NotFound):
        await bob.projects.CheckProjectName(pb.CheckProjectNameRequest(project_name="nothing"))
    with pytest.raises(Unauthenticated):
        await authsvc.anonymous.projects.CheckProjectName(pb.CheckProjectNameRequest(project_name="secret"))
    with pytest.raises(Invalid):
        await bob.projects.CheckProjectName(pb.CheckProjectNameRequest())


async def test_lists_show_what_the_caller_may_see(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await alice.make_project("a-public", public=True)
    await alice.make_project("a-private")
    await bob.make_project("b-private")
    await alice.add_member("a-private", bob, "guest")
    robot = await alice.make_robot("a-private", "ci", "repository:pull")
    machine = await authsvc.log_in(robot.name, robot.secret)
    assert await names(authsvc.anonymous) == ["a-public", "library"]
    assert await names(alice) == ["a-private", "a-public", "library"]
    assert await names(bob) == ["a-private", "a-public", "b-private", "library"]
    assert await names(machine) == ["a-private", "a-public", "library"]
    assert await names(authsvc.admin) == ["a-private", "a-public", "b-private", "library"]
    answer = await bob.projects.ListProjects(pb.ListProjectsRequest())
    assert {project.name: list(project.current_user_role_ids) for project in answer.projects} == {
        "a-private": [3],
        "a-public": [],
        "b-private": [1],
        "library": [],
    }


async def test_lists_are_filtered_sorted_and_paged(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    for name, public in (("one", True), ("two", False), ("three", True)):
        await alice.make_project(name, public=public)
    admin = authsvc.admin
    assert await names(admin, name="O") == ["one", "two"]
    assert await names(admin, public=False) == ["two"]
    assert await names(admin, q="public=true,owner=alice") == ["one", "three"]
    assert await names(admin, owner="admin") == ["library"]
    assert await names(admin, sort="-creation_time") == ["three", "two", "one", "library"]
    assert await names(admin, sort="project_id", page=2, page_size=3) == ["three"]
    await alice.projects.UpdateProject(pb.UpdateProjectRequest(project=ProjectRef(name="two"), public=True))
    await alice.projects.UpdateProject(pb.UpdateProjectRequest(project=ProjectRef(name="two"), public=False))
    assert await names(admin, sort="-update_time") == ["two", "three", "one", "library"]
    assert await names(admin, sort="owner_name,-name") == ["library", "two", "three", "one"]
    seen: list[str] = []
    token = ""
    while True:
        answer = await admin.projects.ListProjects(
            pb.ListProjectsRequest(sort="name", page_size=1, page_token=token, with_total=True)
        )
        assert answer.total_size == 4
        seen += [project.name for project in answer.projects]
        token = answer.next_page_token
        if not token:
            break
    assert seen == ["library", "one", "three", "two"]
    first = await admin.projects.ListProjects(pb.ListProjectsRequest(page_size=1))
    with pytest.raises(Invalid):
        await names(admin, page_size=1, name="o", page_token=first.next_page_token)


async def test_settings_change_name_by_name_and_by_etag(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team", metadata={"severity": "high"})
    etag = (await get(alice, "team")).project.etag

    def change(**fields: object) -> pb.UpdateProjectRequest:
        return pb.UpdateProjectRequest(project=ProjectRef(name="team"), **fields)  # type: ignore[arg-type]

    answer = await alice.projects.UpdateProject(
        change(metadata={"reuse_sys_cve_allowlist": "true"}, public=True, etag=etag)
    )
    assert dict(answer.project.metadata) == {"public": "true", "severity": "high", "reuse_sys_cve_allowlist": "true"}
    assert answer.project.etag != etag
    assert answer.project == (await get(alice, "team")).project
    with pytest.raises(Precondition):
        await alice.projects.UpdateProject(change(public=False, etag=etag))
    await alice.projects.UpdateProject(change(metadata={"public": "false", "retention_id": ""}, name="team"))
    assert dict((await get(alice, "team")).project.metadata) == {
        "public": "false",
        "severity": "high",
        "reuse_sys_cve_allowlist": "true",
    }
    for wrong in ({"name": "other"}, {"metadata": {"colour": "red"}}):
        with pytest.raises(Invalid):
            await alice.projects.UpdateProject(change(**wrong))


async def test_of_writers_with_one_etag_one_wins(authsvc: AuthService) -> None:
    await authsvc.admin.make_project("team")
    etag = (await get(authsvc.admin, "team")).project.etag

    async def write(severity: str) -> bool:
        try:
            await authsvc.admin.projects.UpdateProject(
                pb.UpdateProjectRequest(project=ProjectRef(name="team"), metadata={"severity": severity}, etag=etag)
            )
        except Precondition:
            return False
        return True

    assert sorted(await asyncio.gather(*map(write, ("low", "medium", "high")))) == [False, False, True]


async def test_services_look_up_and_delete_by_id(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    project_id = await alice.make_project("team", metadata={"severity": "high"})
    robot = await alice.make_robot("team", "ci", "repository:pull")
    look_up = pb.LookUpProjectRequest(project=ProjectRef(name="team"))
    delete = pb.DeleteProjectRequest(project_id=project_id)
    for caller in (alice, authsvc.admin):
        for call in (caller.projects.LookUpProject(look_up), caller.projects.DeleteProject(delete)):
            with pytest.raises(Unauthenticated):
                await call
    async with authsvc.service_channel("gateway") as channel:
        gateway = Caller(authsvc)
        gateway.service = _on(authsvc, channel)
        assert (await gateway.projects.LookUpProject(look_up)).project.name == "team"
        with pytest.raises(Denied):
            await gateway.projects.DeleteProject(delete)
    async with authsvc.acting_channel("metasvc") as channel:
        metasvc = Caller(authsvc)
        metasvc.service = _on(authsvc, channel)
        assert (await metasvc.projects.LookUpProject(look_up)).project.id == project_id
        await metasvc.projects.DeleteProject(delete)
        # The answer may have been lost.
        await metasvc.projects.DeleteProject(delete)
        with pytest.raises(NotFound):
            await metasvc.projects.LookUpProject(look_up)
    with pytest.raises(Unauthenticated):
        await authsvc.log_in(robot.name, robot.secret)
    assert await alice.make_project("team") > project_id
    assert not (
        await alice.robots.ListRobots(robot_service_pb2.ListRobotsRequest(project=ProjectRef(name="team")))
    ).robots


def _on(authsvc: AuthService, channel: object) -> AuthService:
    """The same service through another channel."""
    other = object.__new__(AuthService)
    other.__dict__.update({**authsvc.__dict__, "channel": channel})
    return other


async def test_a_project_outlives_its_owner(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    await authsvc.admin.users.DeleteUser(user_service_pb2.DeleteUserRequest(user_id=alice.id))
    project = (await get(authsvc.admin, "team")).project
    assert (project.owner_id, project.owner_name) == (0, "")
    # Who gets the name gets nothing else.
    again = await authsvc.user("alice")
    with pytest.raises(NotFound):
        await get(again, "team")


async def test_creating_projects_can_be_kept_for_administrators(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await authsvc.admin.configuration.UpdateConfigurations(
        UpdateConfigurationsRequest(project_creation_restriction="adminonly")
    )
    with pytest.raises(Denied):
        await alice.make_project("team")
    await authsvc.admin.make_project("team")


async def test_robots_and_strangers_create_no_projects(authsvc: AuthService) -> None:
    robot = await authsvc.admin.make_robot("library", "ci", "project:read")
    machine = await authsvc.log_in(robot.name, robot.secret)
    with pytest.raises(Denied):
        await machine.make_project("team")
    with pytest.raises(Unauthenticated):
        await authsvc.anonymous.make_project("team")
    assert PASSWORD not in repr(machine)
