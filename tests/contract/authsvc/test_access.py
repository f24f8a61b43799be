import pytest

from authsvc.servicers.access import StoreChecker
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2 as pb
from roadstead.auth.v1 import member_service_pb2, robot_service_pb2, user_service_pb2
from roadstead.auth.v1.access_service_pb2_grpc import AccessServiceStub
from svckit.access.call import Call
from svckit.access.decision import ProjectKey, ResolvedProject
from svckit.access.principal import ANONYMOUS, Principal
from svckit.access.remote import RemoteChecker
from svckit.errors import Denied, Invalid, NotFound, Unauthenticated
from svckit.tokens import ActingToken, IdentityToken
from tests.harness.authsvc import AuthService, Caller


async def check(caller: Caller, project: ProjectRef, permission: str) -> tuple[bool, bool, int, str]:
    resource, action = permission.split(":")
    answer = await caller.access.CheckAccess(pb.CheckAccessRequest(project=project, resource=resource, action=action))
    return answer.allowed, answer.visible, answer.project_id, answer.project_name


async def accessible(caller: Caller, permission: str) -> pb.ListAccessibleProjectsResponse:
    resource, action = permission.split(":")
    answer: pb.ListAccessibleProjectsResponse = await caller.access.ListAccessibleProjects(
        pb.ListAccessibleProjectsRequest(resource=resource, action=action)
    )
    return answer


async def test_an_answer_says_no_more_than_the_caller_may_know(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    project_id = await alice.make_project("secret")
    for reference in (ProjectRef(name="secret"), ProjectRef(id=project_id)):
        assert await check(alice, reference, "repository:push") == (True, True, project_id, "secret")
        assert await check(authsvc.admin, reference, "anything:at-all") == (True, True, project_id, "secret")
        for caller in (bob, authsvc.anonymous):
            assert await check(caller, reference, "repository:pull") == (False, False, 0, "")
    for reference in (ProjectRef(name="nothing"), ProjectRef(id=999)):
        assert await check(authsvc.admin, reference, "repository:pull") == (False, False, 0, "")
    assert await check(bob, ProjectRef(name="library"), "repository:push") == (False, True, 1, "library")
    with pytest.raises(Invalid):
        await check(alice, ProjectRef(), "repository:pull")


async def test_a_change_counts_at_once(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    project_id = await alice.make_project("team")
    team = ProjectRef(name="team")
    member_id = await alice.add_member("team", bob, "developer")
    assert (await check(bob, team, "repository:push"))[0]
    await alice.members.UpdateMember(
        member_service_pb2.UpdateMemberRequest(project=team, member_id=member_id, role_id=3)
    )
    assert await check(bob, team, "repository:push") == (False, True, project_id, "team")
    await authsvc.admin.users.SetUserDisabled(user_service_pb2.SetUserDisabledRequest(user_id=bob.id, disabled=True))
    with pytest.raises(Unauthenticated):
        await check(bob, team, "repository:pull")


async def test_a_subject_may_do_what_it_could_do_if_it_called_now(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    project_id = await alice.make_project("team")
    team = ProjectRef(name="team")
    member_id = await alice.add_member("team", bob, "developer")
    created = await alice.make_robot("team", "ci", "repository:push")
    robot = f"robot:{created.id}"
    channel = authsvc.service_channel("metasvc")
    access = AccessServiceStub(channel)

    async def may(subject: str, project: ProjectRef = team, permission: str = "repository:push") -> bool:
        resource, action = permission.split(":")
        request = pb.CheckSubjectAccessRequest(subject=subject, project=project, resource=resource, action=action)
        return (await access.CheckSubjectAccess(request)).allowed

    for subject in (f"user:{alice.id}", f"user:{bob.id}", "user:1", robot):
        assert await may(subject), subject
        assert await may(subject, ProjectRef(id=project_id)), subject
    assert not await may(robot, permission="repository:delete")
    for nobody in ("", "anonymous", "user:999", "robot:999", "user:0", "user:x", "service:metasvc", f"user:{bob.id}x"):
        assert not await may(nobody), nobody
    assert not await may(f"user:{alice.id}", ProjectRef(name="nothing"))

    await alice.members.DeleteMember(member_service_pb2.DeleteMemberRequest(project=team, member_id=member_id))
    assert not await may(f"user:{bob.id}")
    await alice.robots.UpdateRobot(robot_service_pb2.UpdateRobotRequest(robot_id=created.id, disabled=True))
    assert not await may(robot)
    await authsvc.admin.users.SetUserDisabled(user_service_pb2.SetUserDisabledRequest(user_id=alice.id, disabled=True))
    assert not await may(f"user:{alice.id}")
    await channel.close()


async def test_only_metasvc_asks_about_others(authsvc: AuthService) -> None:
    request = pb.CheckSubjectAccessRequest(subject="user:1", project=ProjectRef(id=1))
    with pytest.raises(Unauthenticated):
        await authsvc.admin.access.CheckSubjectAccess(request)
    async with authsvc.service_channel("gateway") as channel:
        with pytest.raises(Denied):
            await AccessServiceStub(channel).CheckSubjectAccess(request)


async def test_a_registry_token_is_asked_for_nothing_here(authsvc: AuthService) -> None:
    answer = await authsvc.admin.registry_token("repository:library/a:pull", "registry:catalog:*")
    narrowed = Caller(authsvc, answer.token)
    assert await check(narrowed, ProjectRef(name="library"), "repository:pull") == (False, False, 0, "")
    assert await accessible(narrowed, "repository:pull") == pb.ListAccessibleProjectsResponse()
    assert not (
        await narrowed.access.CheckSystemAccess(pb.CheckSystemAccessRequest(resource="user", action="list"))
    ).allowed


async def test_accessible_projects_are_those_where_the_permission_is_held(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    one = await alice.make_project("one")
    two = await alice.make_project("two")
    await alice.add_member("one", bob, "guest")
    await alice.add_member("two", bob, "developer")
    assert list((await accessible(bob, "repository:pull")).project_ids) == [1, one, two]
    assert list((await accessible(bob, "repository:push")).project_ids) == [two]
    assert list((await accessible(authsvc.anonymous, "repository:pull")).project_ids) == [1]
    everything = await accessible(authsvc.admin, "repository:push")
    assert everything.all
    assert not everything.project_ids
    robot = await alice.make_robot("one", "ci", "repository:push")
    machine = await authsvc.log_in(robot.name, robot.secret)
    assert list((await accessible(machine, "repository:push")).project_ids) == [one]
    assert list((await accessible(machine, "repository:pull")).project_ids) == [1]


async def test_the_system_level_is_for_administrators_but_for_making_projects(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    robot = await authsvc.admin.make_robot("library", "ci", "project:read")
    machine = await authsvc.log_in(robot.name, robot.secret)

    async def may(caller: Caller, resource: str, action: str) -> bool:
        answer = await caller.access.CheckSystemAccess(pb.CheckSystemAccessRequest(resource=resource, action=action))
        return bool(answer.allowed)

    for caller, makes_projects, reads_the_catalog in (
        (authsvc.admin, True, True),
        (alice, True, False),
        (machine, False, False),
        (authsvc.anonymous, False, False),
    ):
        assert await may(caller, "project", "create") is makes_projects
        assert await may(caller, "catalog", "read") is reads_the_catalog
        assert await may(caller, "user", "list") is reads_the_catalog


async def test_another_service_asks_for_a_caller_by_the_callers_own_token(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    project_id = await alice.make_project("team")
    says = authsvc.keyring.verifier().verify(alice.token, IdentityToken)
    key = ProjectKey(name="team")
    async with authsvc.service_channel("metasvc") as channel:
        checker = RemoteChecker(channel)
        call = Call("/x", principal=Principal.of_identity(says), token=alice.token)
        decision = await checker.check_project(call, key, "repository", "push")
        assert (decision.allowed, decision.visible, decision.project_id) == (True, True, project_id)
        assert await checker.check_system(call, "project", "create")
        # A service that passes on nobody's call may do what anybody may, and no more.
        nobody = Call("/x", principal=ANONYMOUS)
        assert not (await checker.check_project(nobody, key, "repository", "pull")).visible
        assert (await checker.check_project(nobody, ProjectKey(name="library"), "repository", "pull")).allowed
        assert not await checker.check_system(nobody, "project", "create")


async def test_a_project_is_found_for_a_service_that_acts_for_itself_whoever_may_see_it(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    team = ResolvedProject(await alice.make_project("team"), "team")
    acting = Principal.of_acting(ActingToken(subject="service:jobsvc"))
    call = Call("/x", principal=acting, caller_service="jobsvc", services=frozenset({"jobsvc"}))
    own = StoreChecker(authsvc.ports)
    async with authsvc.service_channel("metasvc") as channel:
        for checker in (own, RemoteChecker(channel)):
            for key in (ProjectKey(id=team.id), ProjectKey(name="team"), ProjectKey(name="team", repository="team/a")):
                assert await checker.resolve_project(call, key) == team
            for key in (ProjectKey(id=team.id + 100), ProjectKey(name="nowhere")):
                with pytest.raises(NotFound) as caught:
                    await checker.resolve_project(call, key)
                assert caught.value.reason == "PROJECT_UNKNOWN"


async def test_a_service_that_acts_for_itself_holds_no_permission_of_its_own(authsvc: AuthService) -> None:
    """What it may do, rules say by name; what can be asked here is what callers may do."""
    await (await authsvc.user("alice")).make_project("team")
    async with authsvc.acting_channel("jobsvc") as channel:
        stub = AccessServiceStub(channel)
        project = await stub.CheckAccess(
            pb.CheckAccessRequest(project=ProjectRef(name="team"), resource="repository", action="pull")
        )
        system = await stub.CheckSystemAccess(pb.CheckSystemAccessRequest(resource="user", action="list"))
        lists = await stub.ListAccessibleProjects(
            pb.ListAccessibleProjectsRequest(resource="repository", action="list")
        )
    assert (project.allowed, project.visible, system.allowed, lists.all) == (False, False, False, False)
