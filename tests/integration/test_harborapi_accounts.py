"""Users, groups and members by a client that was written for Harbor."""

import secrets
from collections.abc import AsyncIterator

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed, Unauthorized
from harborapi.models import (
    ProjectMember,
    ProjectMetadata,
    ProjectReq,
    UserCreationReq,
    UserEntity,
    UserGroup,
    UserProfile,
)

from tests.harness.installation import Installation
from tests.harness.plain_http import get
from tests.harness.workspace import DEVELOPER, GUEST, MAINTAINER, PROJECT_ADMIN, Management

# harborapi uses a deprecated feature of pydantic; only harborapi can change that.
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]

PASSWORD = "Passw0rd-1"


def log_in(installation: Installation, username: str, secret: str) -> HarborAsyncClient:
    return HarborAsyncClient(url=f"{installation.http_url}/api/v2.0/", username=username, secret=secret)


@pytest.fixture
async def harbor(installation: Installation) -> AsyncIterator[HarborAsyncClient]:
    client = log_in(installation, "admin", installation.admin_password)
    yield client
    await client.client.aclose()


async def make_user(harbor: HarborAsyncClient) -> tuple[str, int]:
    name = f"u{secrets.token_hex(5)}"
    location = await harbor.create_user(
        UserCreationReq(username=name, email=f"{name}@example.com", realname="R", password=PASSWORD, comment="c")
    )
    return name, int(location.rpartition("/")[2])


def id_of(location: str) -> int:
    return int(location.rpartition("/")[2])


async def test_it_keeps_users(harbor: HarborAsyncClient, installation: Installation) -> None:
    name, user_id = await make_user(harbor)
    user = await harbor.get_user(user_id)
    assert (user.username, user.email, user.realname, user.comment) == (name, f"{name}@example.com", "R", "c")
    assert (await harbor.get_user_by_username(name)).user_id == user_id
    (found,) = await harbor.search_users_by_username(name)
    assert (found.user_id, found.username) == (user_id, name)
    assert [each.username for each in await harbor.get_users(query=f"email=~{name}", sort="-creation_time")] == [name]
    await harbor.update_user(user_id, UserProfile(email=f"{name}@example.org", realname="New", comment=""))
    assert (await harbor.get_user(user_id)).realname == "New"
    with pytest.raises(BadRequest):
        await harbor.update_user(user_id, UserProfile(comment="alone"))
    with pytest.raises(BadRequest):
        await harbor.create_user(UserCreationReq(username=f"{name}x", password=PASSWORD))
    with pytest.raises(Conflict):
        await harbor.create_user(
            UserCreationReq(username=name, email="other@example.com", realname="R", password=PASSWORD)
        )
    with pytest.raises(PreconditionFailed):
        await harbor.set_user_cli_secret(user_id, "Secret-of-cli-1")
    await harbor.set_user_admin(user_id, is_admin=True)
    assert (await harbor.get_user(user_id)).sysadmin_flag
    await harbor.set_user_admin(user_id, is_admin=False)
    # The user itself, who logs in with the mail address.
    itself = log_in(installation, f"{name}@example.org", PASSWORD)
    assert (await itself.get_current_user()).username == name
    assert await itself.get_current_user_permissions() == []
    with pytest.raises(Forbidden) as refused:
        await itself.set_user_password(user_id, "Passw0rd-2", "wrong")
    assert [error.message for error in refused.value.errors] == ["Current password is incorrect"]
    await itself.set_user_password(user_id, "Passw0rd-2", PASSWORD)
    with pytest.raises(Unauthorized):
        await itself.get_current_user()
    await itself.client.aclose()
    with pytest.raises(Forbidden):
        await harbor.delete_user(1)
    await harbor.delete_user(user_id)
    with pytest.raises(NotFound):
        await harbor.get_user(user_id)


async def test_wrong_credentials_are_refused_also_where_none_are_needed(installation: Installation) -> None:
    url = f"{installation.http_url}/api/v2.0/projects/library"
    assert get(url).status_code == 200
    for name, secret in (("admin", "wrong"), ("nobody", "wrong"), ("nobody@example.com", "wrong")):
        assert get(url, auth=(name, secret)).status_code == 401
        client = log_in(installation, name, secret)
        with pytest.raises(Unauthorized):
            await client.get_project("library")
        await client.client.aclose()


async def test_it_keeps_groups_and_their_memberships(
    harbor: HarborAsyncClient, installation: Installation, management: Management
) -> None:
    project, group_name = f"p{secrets.token_hex(5)}", f"g{secrets.token_hex(5)}"
    await harbor.create_project(ProjectReq(project_name=project, metadata=ProjectMetadata(public="false")))
    name, user_id = await make_user(harbor)
    group_id = id_of(await harbor.create_usergroup(UserGroup(group_name=group_name, group_type=3)))
    with pytest.raises(Conflict):
        await harbor.create_usergroup(UserGroup(group_name=group_name, group_type=3))
    with pytest.raises(BadRequest):
        await harbor.create_usergroup(UserGroup(group_name="x", group_type=1, ldap_group_dn="cn=x"))
    group = await harbor.get_usergroup(group_id)
    assert (group.id, group.group_name, group.group_type) == (group_id, group_name, 3)
    assert [each.id for each in await harbor.get_usergroups(group_name=group_name)] == [group_id]
    assert [each.id for each in await harbor.search_usergroups(group_name)] == [group_id]
    await harbor.update_usergroup(group_id, UserGroup(group_name=f"{group_name}x", group_type=3))
    assert (await harbor.get_usergroup(group_id)).group_name == f"{group_name}x"

    await harbor.add_project_member_group(project, group_id, DEVELOPER)
    named = UserGroup(group_name=f"{group_name}x", group_type=3)
    with pytest.raises(Conflict):
        await harbor.add_project_member(project, ProjectMember(role_id=GUEST, member_group=named))
    with pytest.raises(NotFound):
        await harbor.add_project_member_group(project, "cn=nobody,dc=example", GUEST)
    with pytest.raises(BadRequest):
        await harbor.add_project_member(project, ProjectMember(role_id=GUEST))
    await harbor.add_project_member(project, ProjectMember(role_id=GUEST, member_user=UserEntity(user_id=user_id)))
    members = {each.entity_name: each for each in await harbor.get_project_members(project)}
    assert {each: (member.entity_type, member.role_id) for each, member in members.items()} == {
        "admin": ("u", PROJECT_ADMIN),
        f"{group_name}x": ("g", DEVELOPER),
        name: ("u", GUEST),
    }
    of_group = members[f"{group_name}x"]
    assert of_group.id is not None
    await harbor.update_project_member_role(project, of_group.id, MAINTAINER)
    assert (await harbor.get_project_member(project, of_group.id)).role_name == "maintainer"

    # The users of a group are ours: Harbor knows them from an identity provider only.
    users = f"/usergroups/{group_id}/members"
    added = management.client.post(users, json={"username": name})
    assert (added.status_code, added.headers["Location"]) == (201, f"/api/v2.0{users}/{user_id}")
    (member,) = management.client.get(users).json()
    assert (member["user_id"], member["username"]) == (user_id, name)

    def roles() -> list[int]:
        answer = get(f"{installation.http_url}/api/v2.0/projects/{project}", auth=(name, PASSWORD))
        held: list[int] = answer.json()["current_user_role_ids"]
        return held

    assert roles() == [MAINTAINER, GUEST]
    assert management.client.delete(f"{users}/{user_id}").status_code == 200
    assert roles() == [GUEST]
    await harbor.delete_usergroup(group_id)
    assert {each.entity_type for each in await harbor.get_project_members(project)} == {"u"}
    with pytest.raises(NotFound):
        await harbor.get_usergroup(group_id)
