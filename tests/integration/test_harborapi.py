"""A client that was written for Harbor, against a running installation: its models say whether the JSON is Harbor's."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import Conflict, NotFound, Unauthorized
from harborapi.models import (
    Access,
    ProjectMetadata,
    ProjectReq,
    QuotaUpdateReq,
    Repository,
    ResourceList,
    RobotCreate,
    RobotPermission,
    RoleRequest,
    Tag,
    UserCreationReq,
)

from tests.harness.images import image, index
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import DEVELOPER, MAINTAINER, Login

# harborapi uses a deprecated feature of pydantic; only harborapi can change that.
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]


Connect = Callable[[str], HarborAsyncClient]


@pytest.fixture
async def connect(installation: Installation) -> AsyncIterator[Connect]:
    """Makes clients and closes them at the end, because they never close themselves."""
    async with AsyncExitStack() as stack:

        def log_in(secret: str) -> HarborAsyncClient:
            client = HarborAsyncClient(url=f"{installation.http_url}/api/v2.0/", username="admin", secret=secret)
            stack.push_async_callback(client.client.aclose)
            return client

        yield log_in


@pytest.fixture
def harbor(connect: Connect, installation: Installation) -> HarborAsyncClient:
    return connect(installation.admin_password)


async def test_it_finds_out_what_it_talks_to(harbor: HarborAsyncClient, installation: Installation) -> None:
    assert await harbor.ping() == "Pong"
    assert (await harbor.health_check()).status == "healthy"
    info = await harbor.get_system_info()
    assert info.registry_url == installation.host
    assert info.harbor_version is not None
    assert info.harbor_version.startswith("v2.")
    assert info.auth_mode == "db_auth"
    me = await harbor.get_current_user()
    assert (me.username, me.sysadmin_flag) == ("admin", True)
    assert me.creation_time is not None
    permissions = await harbor.get_current_user_permissions(scope="/project/1", relative=True)
    assert ("repository", "push") in {(permission.resource, permission.action) for permission in permissions}
    # There is one only where the operator has named a file, and harborapi does not look at the status.
    assert b"CA certificate not found" in bytes(await harbor.get_system_certificate())


async def test_wrong_credentials_are_what_it_takes_for_such(connect: Connect) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await connect("wrong").get_current_user()
    assert [error.code for error in refusal.value.errors] == ["UNAUTHORIZED"]


async def test_it_keeps_projects_members_and_robots(harbor: HarborAsyncClient) -> None:
    name = f"h{secrets.token_hex(5)}"
    assert not await harbor.project_exists(name)
    location = await harbor.create_project(
        ProjectReq(project_name=name, metadata=ProjectMetadata(public="false"), storage_limit=-1)
    )
    assert await harbor.project_exists(name)
    with pytest.raises(Conflict):
        await harbor.create_project(ProjectReq(project_name=name))
    project = await harbor.get_project(name)
    assert project.project_id is not None
    # It asks for the name in the Location, by a header.
    assert location == f"/api/v2.0/projects/{name}"
    assert (await harbor.get_project(project.project_id)).name == name
    assert project.metadata is not None
    assert project.metadata.public == "false"
    await harbor.update_project(name, ProjectReq(metadata=ProjectMetadata(reuse_sys_cve_allowlist="true")))
    assert name in {each.name for each in await harbor.get_projects(page_size=1)}
    summary = await harbor.get_project_summary(name)
    assert (summary.repo_count, summary.project_admin_count) == (0, 1)

    username = f"u{secrets.token_hex(5)}"
    await harbor.create_user(
        UserCreationReq(username=username, email=f"{username}@example.com", realname="R", password="Passw0rd-1")
    )
    (user,) = await harbor.get_users(query=f"username={username}")
    assert user.user_id is not None
    await harbor.add_project_member_user(name, username, DEVELOPER)
    (member,) = await harbor.get_project_members(name, entity_name=username)
    assert (member.role_id, member.entity_id) == (DEVELOPER, user.user_id)
    assert member.id is not None
    await harbor.update_project_member_role(name, member.id, RoleRequest(role_id=MAINTAINER))
    assert (await harbor.get_project_member(name, member.id)).role_name == "maintainer"
    await harbor.remove_project_member(name, member.id)
    await harbor.delete_user(user.user_id)

    permission = RobotPermission(kind="project", namespace=name, access=[Access(resource="repository", action="pull")])
    created = await harbor.create_robot(
        RobotCreate(name="ci", level="project", duration=30, disable=False, permissions=[permission])
    )
    assert created.name == f"robot${name}+ci"
    assert created.id is not None
    robot = await harbor.get_robot(created.id)
    robot.description = "changed"
    await harbor.update_robot(created.id, robot)
    (robot,) = await harbor.get_robots(query=f"Level=project,ProjectID={project.project_id}")
    assert robot.description == "changed"
    assert (await harbor.refresh_robot_secret(created.id, "")).secret
    await harbor.delete_robot(created.id)

    assert (await harbor.get_project_deletable(name)).deletable
    await harbor.delete_project(name)
    with pytest.raises(NotFound):
        await harbor.get_project(name)


async def test_it_shows_what_was_pushed(harbor: HarborAsyncClient, installation: Installation) -> None:
    name = f"h{secrets.token_hex(5)}"
    await harbor.create_project(ProjectReq(project_name=name))
    login = Login("admin", installation.admin_password)
    many = index([image(1), image(2, architecture="arm64")])
    digest = await asyncio.to_thread(push, installation.http_url, login, f"{name}/sub/app", many, "latest")

    other = await asyncio.to_thread(push, installation.http_url, login, f"{name}/sub/app", image(3), "other")

    (repository,) = await harbor.get_repositories(name)
    assert (repository.name, repository.artifact_count) == (f"{name}/sub/app", 2)
    await harbor.update_repository(name, "sub/app", Repository(description="what it is"))
    assert (await harbor.get_repository(name, "sub/app")).description == "what it is"
    artifacts = await harbor.get_artifacts(name, "sub/app", page_size=1, with_accessory=True)
    assert {artifact.digest for artifact in artifacts} == {digest, other}
    artifact = await harbor.get_artifact(name, "sub/app", "latest")
    assert artifact.digest == digest
    assert [tag.name for tag in artifact.tags or []] == ["latest"]
    assert {each.platform.architecture for each in artifact.references or [] if each.platform} == {"amd64", "arm64"}
    attributes = (await harbor.get_artifact(name, "sub/app", "other")).extra_attrs
    assert attributes is not None
    said = attributes.root or {}
    assert (said["architecture"], said["os"], said["config"]) == (
        "amd64",
        "linux",
        {"Env": ["PATH=/bin"], "Labels": {"seed": "3"}},
    )

    location = await harbor.create_artifact_tag(name, "sub/app", digest, Tag(name="stable"))
    assert location is not None
    assert location.endswith("/tags/stable")
    assert {tag.name for tag in await harbor.get_artifact_tags(name, "sub/app", digest)} == {"latest", "stable"}
    await harbor.delete_artifact_tag(name, "sub/app", digest, "stable")
    quotas = await harbor.get_quotas(reference="project", reference_id=str((await harbor.get_project(name)).project_id))
    assert [(quota.used.root or {})["storage"] > 0 for quota in quotas if quota.used] == [True]
    quota_id = quotas[0].id
    assert quota_id is not None
    await harbor.update_quota(quota_id, QuotaUpdateReq(hard=ResourceList({"storage": 1_000_000})))
    limit = (await harbor.get_quota(quota_id)).hard
    assert limit is not None
    assert limit.root == {"storage": 1_000_000}
    await harbor.delete_artifact(name, "sub/app", digest)
    await harbor.delete_repository(name, "sub/app")
    await harbor.delete_project(name)
