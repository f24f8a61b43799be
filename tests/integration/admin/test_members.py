"""`roadstead admin members`."""

import secrets

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.workspace import Management

FIELDS = {"id", "project_id", "entity_name", "role_name", "role_id", "entity_id", "entity_type", "etag"}
"""The JSON of a member, as docs/cli.md has it."""


def test_a_member_from_the_first_role_to_the_last(admin: Admin) -> None:
    project, user = f"p{secrets.token_hex(5)}", f"u{secrets.token_hex(5)}"
    admin.run("projects", "create", project)
    admin.run("users", "create", user, "--email", f"{user}@example.com", stdin="Passw0rd-1\n")
    added = admin.json("members", "add", project, user, "--role", "developer")
    assert set(added) == FIELDS
    assert (added["entity_name"], added["entity_type"], added["role_name"]) == (user, "u", "developer")
    assert admin.json("members", "show", project, user) == added
    assert admin.json("members", "change", project, user, "--role", "maintainer")["role_name"] == "maintainer"
    assert admin.table("members", "list", project, "--query", "entity_type=u", "--sort=-id") == [
        ["ID", "MEMBER", "TYPE", "ROLE"],
        [str(added["id"]), user, "user", "maintainer"],
        [str(admin.json("members", "show", project, "admin")["id"]), "admin", "user", "projectAdmin"],
    ]
    result = admin.run("members", "remove", project, user, "--yes")
    assert (result.stdout, result.stderr) == ("", f"the user {user} is no member of {project} any more\n")
    said = admin.refused("members", "show", project, user)
    assert f"the user {user} is no member of {project}; `roadstead admin members list {project}` shows all" in said


@pytest.mark.parametrize("role", ["projectAdmin", "maintainer", "developer", "guest", "limitedGuest"])
def test_each_role_is_known_by_harbors_name(local: Admin, management: Management, role: str) -> None:
    project, user = management.create_project(), management.create_user()
    assert local.json("members", "add", project, user.name, "--role", role)["role_name"] == role


def test_a_group_is_a_member_like_a_user(local: Admin, management: Management) -> None:
    project = management.create_project()
    group_id = management.create_group()
    name = management.client.get(f"/usergroups/{group_id}").json()["group_name"]
    added = local.json("members", "add", project, name, "--group", "--role", "guest")
    assert (added["entity_name"], added["entity_id"], added["entity_type"]) == (name, group_id, "g")
    changed = local.json("members", "change", project, name, "--group", "--role", "developer")
    assert changed["role_name"] == "developer"
    assert "is no member of" in local.refused("members", "show", project, name)
    local.run("members", "remove", project, name, "--group", "--yes")
    assert f"the group {name} is no member" in local.refused("members", "remove", project, name, "--group", "--yes")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ("add", "library", "no-such-user", "--role", "guest"),
            1,
            "there is no user no-such-user; `roadstead admin users list` shows all",
        ),
        (
            ("add", "library", "no-such-group", "--group", "--role", "guest"),
            1,
            "there is no group no-such-group; `GET /api/v2.0/usergroups` shows all, and `POST` makes one",
        ),
        (("add", "library", "admin", "--role", "guest"), 1, "409 CONFLICT"),
        (("add", "library", "admin", "--role", "guset"), 2, "guset is not known; did you mean guest?"),
        (("add", "library", "admin"), 2, "the following arguments are required: --role"),
        (("add", "no-such-project", "admin", "--role", "guest"), 1, "there is no project no-such-project"),
        (("change", "library", "no-such-user", "--role", "guest"), 1, "the user no-such-user is no member of library"),
        (("list", "no-such-project"), 1, "there is no project no-such-project"),
        (("remove", "library", "admin"), 2, "whether to remove admin from the project library; say --yes"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    assert said in local.refused("members", *arguments, status=status)
