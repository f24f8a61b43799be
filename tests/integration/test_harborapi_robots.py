"""harborapi, unmodified, on robots of both levels, and what its models do not show: statuses, texts and names."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from harborapi.models import Access, ProjectReq, Robot, RobotCreate, RobotCreated, RobotCreateV1, RobotPermission

from tests.harness import plain_http
from tests.harness.images import image, write_oci_layout
from tests.harness.installation import Installation
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import BUILDER_PERMISSIONS, DEVELOPER, PROJECT_ADMIN, Login, Management

# harborapi uses a deprecated feature of pydantic; only harborapi can change that.
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]

Connect = Callable[[Login], HarborAsyncClient]
PULL = Access(resource="repository", action="pull")


@pytest.fixture
async def connect(installation: Installation) -> AsyncIterator[Connect]:
    """Makes clients and closes them at the end, because they never close themselves."""
    async with AsyncExitStack() as stack:

        def log_in(login: Login) -> HarborAsyncClient:
            url = f"{installation.http_url}/api/v2.0/"
            client = HarborAsyncClient(url=url, username=login.name, secret=login.secret)
            stack.push_async_callback(client.client.aclose)
            return client

        yield log_in


@pytest.fixture
def harbor(connect: Connect, management: Management) -> HarborAsyncClient:
    return connect(management.admin)


def named() -> str:
    return f"r{secrets.token_hex(5)}"


def grants(namespace: str, *accesses: Access) -> RobotPermission:
    kind = "system" if namespace == "/" else "project"
    return RobotPermission(kind=kind, namespace=namespace, access=list(accesses))


def system_robot(*permissions: RobotPermission, **fields: Any) -> RobotCreate:
    given = {"name": named(), "level": "system", "duration": -1, "permissions": list(permissions), **fields}
    return RobotCreate(**given)


def login_of(created: RobotCreated) -> Login:
    assert created.name is not None
    assert created.secret is not None
    return Login(created.name, created.secret)


def plain(installation: Installation, login: Login, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """A request as it is, without a client's models."""
    return plain_http.request(method, f"{installation.http_url}/api/v2.0{path}", auth=login.basic, **kwargs)


async def test_it_keeps_system_robots(harbor: HarborAsyncClient, connect: Connect, management: Management) -> None:
    one, two = management.create_project(), management.create_project()
    asked = system_robot(
        grants(one, PULL, Access(resource="repository", action="push", effect="allow")),
        grants(two, PULL),
        grants("*", Access(resource="repository", action="list")),
        grants("/", Access(resource="project", action="list")),
        duration=7,
        disable=True,
        description="builds",
    )
    created = await harbor.create_robot(asked)
    assert created.id is not None
    assert created.name == f"robot${asked.name}"
    robot = await harbor.get_robot(created.id)
    assert (robot.level, robot.editable, robot.disable, robot.creator_type, robot.creator_ref) == (
        "system",
        True,
        True,
        "local",
        1,
    )
    assert robot.creation_time is not None
    assert robot.expires_at == int(robot.creation_time.timestamp()) + 7 * 86400
    assert sorted(
        (group.kind or "", group.namespace or "", access.action or "", access.effect)
        for group in robot.permissions or []
        for access in group.access or []
    ) == sorted(
        [
            ("project", one, "pull", None),
            ("project", one, "push", "allow"),
            ("project", two, "pull", None),
            ("project", "*", "list", None),
            ("system", "/", "list", None),
        ],
        key=str,
    )
    with pytest.raises(Unauthorized):
        await connect(login_of(created)).get_projects()
    robot.disable = False
    await harbor.update_robot(created.id, robot)
    client = connect(login_of(created))
    assert {one, two} <= {project.name for project in await client.get_projects(page_size=100, limit=1000)}
    assert created.name in {each.name for each in await harbor.get_robots(page_size=100)}
    assert created.name in {each.name for each in await harbor.get_robots(query="Level=system", page_size=100)}
    with pytest.raises(BadRequest):
        await harbor.get_robots(query="Level=project")
    with pytest.raises(Conflict):
        await harbor.create_robot(asked)
    assert not (await harbor.refresh_robot_secret(created.id, "Chosen-secret-1")).secret
    client = connect(Login(created.name, "Chosen-secret-1"))
    assert await client.get_projects()
    with pytest.raises(Unauthorized):
        await connect(login_of(created)).get_projects()
    generated = (await harbor.refresh_robot_secret(created.id, "")).secret
    assert generated
    assert await connect(Login(created.name, generated)).get_projects()
    await harbor.delete_robot(created.id)
    with pytest.raises(NotFound):
        await harbor.get_robot(created.id)


async def test_it_reads_the_catalogue(harbor: HarborAsyncClient, connect: Connect, management: Management) -> None:
    catalogue = await harbor.get_permissions()
    assert {(each.resource, each.action) for each in catalogue.project or []} >= {
        ("repository", "push"),
        ("robot", "create"),
    }
    assert ("replication-adapter", "list") in {(each.resource, each.action) for each in catalogue.system or []}
    project = management.create_project()
    owner, developer = management.create_user(), management.create_user()
    management.add_member(project, owner, PROJECT_ADMIN)
    management.add_member(project, developer, DEVELOPER)
    of_owner = await connect(owner).get_permissions()
    assert (of_owner.system, of_owner.project) == ([], catalogue.project)
    with pytest.raises(Forbidden):
        await connect(developer).get_permissions()


async def test_robots_make_robots_within_their_own_rights(
    harbor: HarborAsyncClient, connect: Connect, management: Management
) -> None:
    project = management.create_project()
    create = Access(resource="robot", action="create")
    made = await harbor.create_robot(system_robot(grants("/", create), grants("*", create, PULL)))
    maker = connect(login_of(made))
    child = await maker.create_robot(
        RobotCreate(name="ci", level="project", duration=1, permissions=[grants(project, PULL)])
    )
    assert child.id is not None
    robot = await harbor.get_robot(child.id)
    assert (robot.creator_type, robot.creator_ref) == ("robot", made.id)
    for asked in (
        system_robot(grants("*", PULL, Access(resource="repository", action="push"))),
        system_robot(grants("/", Access(resource="label", action="create"))),
    ):
        with pytest.raises(Forbidden) as refused:
            await maker.create_robot(asked)
        assert [error.code for error in refused.value.errors] == ["DENIED"]
    assert made.id is not None
    await harbor.delete_robot(made.id)
    # The robots that it made stay.
    assert (await harbor.get_robot(child.id)).name == f"robot${project}+ci"


async def test_the_old_paths_of_a_project_keep_its_robots(
    harbor: HarborAsyncClient, connect: Connect, management: Management, installation: Installation
) -> None:
    name = f"{secrets.randbelow(10**15) + 10**16}"
    await harbor.create_project(ProjectReq(project_name=name))
    project_id = (await harbor.get_projects(name=name))[0].project_id
    assert project_id is not None
    access = [Access(resource=f"/project/{project_id}/repository", action="pull")]
    expires_at = int(time.time()) + 3600
    # A project whose name is a number is named by its id here, or by the header X-Is-Resource-Name.
    created = await harbor.create_robot_v1(
        project_id, RobotCreateV1(name="ci", description="old", access=access, expires_at=expires_at)
    )
    assert created.name == f"robot${name}+ci"
    assert created.id is not None
    assert created.expires_at == expires_at
    (robot,) = await harbor.get_robots_v1(project_id)
    assert robot == await harbor.get_robot_v1(project_id, created.id) == await harbor.get_robot(created.id)
    assert (robot.level, robot.duration, robot.description) == ("project", 1, "old")
    assert [(group.namespace, [each.resource for each in group.access or []]) for group in robot.permissions or []] == [
        (name, ["repository"])
    ]
    await harbor.update_robot_v1(project_id, created.id, Robot(disable=True, name="other", description="new"))
    robot = await harbor.get_robot_v1(project_id, created.id)
    assert (robot.disable, robot.description, robot.name, robot.duration) == (True, "new", created.name, 1)
    assert robot.expires_at == expires_at
    with pytest.raises(Unauthorized):
        await connect(login_of(created)).get_projects()
    await harbor.update_robot_v1(project_id, created.id, Robot())
    await connect(login_of(created)).get_projects()

    by_name = {"X-Is-Resource-Name": "true"}
    path = f"/projects/{name}/robots"
    assert plain(installation, management.admin, "GET", f"{path}/{created.id}", headers=by_name).status_code == 200
    assert plain(installation, management.admin, "GET", f"{path}/{created.id}").status_code == 404
    default = plain(
        installation,
        management.admin,
        "POST",
        path,
        headers=by_name,
        json={"name": "cd", "access": [{"resource": f"/project/{project_id}/tag", "action": "list"}]},
    )
    assert default.status_code == 201, default.text
    assert default.headers["Location"] == f"/api/v2.0/projects/{project_id}/robots/{default.json()['id']}"
    assert (await harbor.get_robot(default.json()["id"])).duration == 30

    # A robot of another project is none of this one's.
    other = await harbor.create_robot(system_robot(grants(name, PULL)))
    assert other.id is not None
    elsewhere = management.create_project()
    for wrong in (created.id, other.id):
        with pytest.raises(NotFound):
            await harbor.get_robot_v1(elsewhere, wrong)
        with pytest.raises(NotFound):
            await harbor.update_robot_v1(elsewhere, wrong, Robot(disable=True))
        with pytest.raises(NotFound):
            await harbor.delete_robot_v1(elsewhere, wrong)
    for resource in (f"/project/{project_id + 1}/repository", "repository", f"/project/{project_id}/user", "/"):
        wrong_access = [Access(resource=resource, action="pull")]
        with pytest.raises(BadRequest):
            await harbor.create_robot_v1(project_id, RobotCreateV1(name="x", access=wrong_access))
    for wrong_time in (1, expires_at + 200 * 366 * 86400):
        with pytest.raises(BadRequest):
            await harbor.create_robot_v1(project_id, RobotCreateV1(name="x", access=access, expires_at=wrong_time))
    with pytest.raises(BadRequest):
        await harbor.create_robot_v1(project_id, RobotCreateV1(name="x", access=[]))
    await harbor.delete_robot_v1(project_id, created.id)
    with pytest.raises(NotFound):
        await harbor.get_robot(created.id)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level": "galaxy"}, None),
        (
            {"duration": 0},
            "bad request error duration input: 0, duration must be either -1(Never) or a positive integer",
        ),
        ({"duration": -2}, None),
        ({"permissions": []}, "bad request empty permission"),
        ({"permissions": [{"kind": "project", "namespace": "*", "access": []}]}, "bad request empty access"),
        (
            {"permissions": [{"kind": "system", "namespace": "/", "access": [{"resource": "robot", "action": "*"}]}]},
            "bad request permission: robot:*",
        ),
        (
            {
                "permissions": [
                    {"kind": "system", "namespace": "x", "access": [{"resource": "label", "action": "read"}]}
                ]
            },
            "unknown namespace",
        ),
        ({"permissions": [{"kind": "galaxy", "namespace": "*", "access": [{"resource": "a", "action": "b"}]}]}, None),
        ({"name": "Upper"}, None),
        ({"name": "a+b"}, None),
    ],
)
def test_what_breaks_a_rule_is_refused_with_harbors_text(
    installation: Installation, management: Management, fields: dict[str, Any], message: str | None
) -> None:
    body = {
        "name": named(),
        "level": "system",
        "duration": 1,
        "permissions": [{"kind": "project", "namespace": "*", "access": [{"resource": "tag", "action": "list"}]}],
    }
    answer = plain(installation, management.admin, "POST", "/robots", json={**body, **fields})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == "BAD_REQUEST"
    # After Harbor's text, the message names the field.
    assert message is None or error["message"].startswith(message)


def test_a_robot_of_each_level_is_known_everywhere_by_its_full_name_only(
    installation: Installation, management: Management
) -> None:
    project = management.create_project()
    small = management.create_robot(project)
    body = {
        "name": named(),
        "level": "system",
        "duration": 1,
        "permissions": [{"kind": "project", "namespace": project, "access": BUILDER_PERMISSIONS}],
    }
    made = plain(installation, management.admin, "POST", "/robots", json=body).json()
    wide = Login(made["name"], made["secret"])
    for path in ("/api/v2.0/projects", "/v2/", "/service/token?service=harbor-registry"):
        for login in (small, wide):
            assert plain_http.get(f"{installation.http_url}{path}", auth=login.basic).status_code == 200
        # The secret of one does not go with the name of the other. More names are tried where a failure costs no delay.
        answer = plain_http.get(f"{installation.http_url}{path}", auth=(small.name, wide.secret))
        assert answer.status_code == 401


async def test_lists_show_what_a_system_robot_may_list(
    harbor: HarborAsyncClient, connect: Connect, management: Management, installation: Installation
) -> None:
    listing = Access(resource="repository", action="list")
    denial = Access(resource="repository", action="list", effect="deny")
    one, two = management.create_project(), management.create_project()
    robots = {
        "every": await harbor.create_robot(system_robot(grants("*", listing, PULL))),
        "one": await harbor.create_robot(system_robot(grants(one, listing), grants(two, PULL))),
        "not two": await harbor.create_robot(system_robot(grants("*", listing), grants(two, denial))),
        "none": await harbor.create_robot(system_robot(grants("/", Access(resource="user", action="list")))),
    }
    later = management.create_project()
    for project in (one, two, later):
        await asyncio.to_thread(push, installation.http_url, management.admin, f"{project}/app", image(3), "v1")

    async def seen(name: str) -> set[str]:
        client = connect(login_of(robots[name]))
        repositories = await client.get_repositories(page_size=100)
        return {str(each.name).partition("/")[0] for each in repositories} & {one, two, later}

    assert await seen("every") == {one, two, later}
    assert await seen("one") == {one}
    assert await seen("not two") == {one, later}
    assert await seen("none") == set()
    assert [each.name for each in await connect(login_of(robots["every"])).get_repositories(later)] == [f"{later}/app"]
    for name in ("one", "none"):
        with pytest.raises(NotFound):
            await connect(login_of(robots[name])).get_repositories(later)
    with pytest.raises(Forbidden):
        await connect(login_of(robots["not two"])).get_repositories(two)


async def test_crane_pushes_and_pulls_in_both_projects_of_a_system_robot(
    harbor: HarborAsyncClient, management: Management, installation: Installation, tmp_path: Path
) -> None:
    projects = [management.create_project() for _ in range(3)]
    accesses = [Access(**permission) for permission in BUILDER_PERMISSIONS]
    robot = login_of(await harbor.create_robot(system_robot(*(grants(project, *accesses) for project in projects[:2]))))
    home = tmp_path / "crane-home"
    home.mkdir()
    crane = Client("crane", home)
    pushed = image(212)
    layout = str(write_oci_layout(tmp_path / "in", pushed))

    def use_both() -> None:
        host = installation.host
        crane.run("auth", "login", host, "-u", robot.name, "--password-stdin", input_text=robot.secret)
        one, two, closed = (f"{host}/{project}/app:v1" for project in projects)
        crane.run("push", "--insecure", layout, one)
        # Mounts the layers from the first project.
        crane.run("copy", "--insecure", one, two)
        crane.run("pull", "--insecure", "--format", "oci", two, str(tmp_path / "out"))
        assert crane.run("digest", "--insecure", two).strip() == pushed.digest
        refused = crane.attempt("push", "--insecure", layout, closed)
        assert refused.returncode != 0
        assert "401 Unauthorized" in refused.stderr

    await asyncio.to_thread(use_both)
