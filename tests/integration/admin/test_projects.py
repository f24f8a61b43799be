"""`roadstead admin projects`."""

import secrets

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import Login, Management

FIELDS = {
    "project_id",
    "name",
    "owner_id",
    "owner_name",
    "creation_time",
    "update_time",
    "metadata",
    "current_user_role_id",
    "current_user_role_ids",
    "deleted",
    "repo_count",
    "etag",
    "cve_allowlist",
    "initial_storage_limit_bytes",
}
"""The JSON of a project, as docs/cli.md has it."""


def named() -> str:
    return f"p{secrets.token_hex(5)}"


def test_a_project_from_its_creation_to_its_end(admin: Admin) -> None:
    # A name of digits alone is a name, and not an id.
    name = f"{secrets.randbelow(10**15) + 10**16}"
    created = admin.json("projects", "create", name, "--public", "--storage-limit", "10GiB", "--set", "severity=high")
    assert set(created) == FIELDS
    assert created["metadata"] == {"public": "true", "severity": "high"}
    assert created["initial_storage_limit_bytes"] == 10 * 1024**3
    assert admin.json("projects", "show", name) == created
    changed = admin.json("projects", "update", name, "--private", "--set", "severity=low")
    assert changed["metadata"] == {"public": "false", "severity": "low"}
    assert [each["name"] for each in admin.json("projects", "list", "--query", f"name={name}")] == [name]
    assert admin.table("projects", "list", "--query", f"name={name}") == [
        ["ID", "PROJECT", "PUBLIC", "OWNER", "REPOSITORIES", "CREATED"],
        [str(created["project_id"]), name, "no", "admin", "0", created["creation_time"]],
    ]
    admin.run("projects", "update", name, "--storage-limit", "unlimited")
    result = admin.run("projects", "delete", name, "--yes")
    assert (result.stdout, result.stderr) == ("", f"the project {name} is deleted\n")
    assert f"there is no project {name} that admin may see" in admin.refused("projects", "show", name)


def test_a_new_limit_is_that_of_the_quota(local: Admin, management: Management) -> None:
    name = named()
    created = local.json("projects", "create", name)
    local.run("projects", "update", name, "--storage-limit", "2MB")
    assert management.client.get(f"/quotas/{created['project_id']}").json()["hard"] == {"storage": 2_000_000}


def test_a_change_of_which_only_a_part_is_done_is_said_with_the_way_on(local: Admin) -> None:
    name = named()
    local.run("projects", "create", name)
    too_much = 2000 * 1024**4
    said = local.refused("projects", "update", name, "--public", "--storage-limit", f"{too_much}")
    assert f"the settings of {name} are changed, and its limit is not: " in said
    assert "400 BAD_REQUEST" in said
    assert f"`roadstead admin quotas set {name} {too_much}` does the rest" in said
    assert local.json("projects", "show", name)["metadata"]["public"] == "true"
    # Alone, it is refused without more words.
    assert "does the rest" not in local.refused("projects", "update", name, "--storage-limit", f"{too_much}")


def test_a_list_has_all_pages(local: Admin, management: Management) -> None:
    prefix = named()
    names = [f"{prefix}-{number:03}" for number in range(203)]
    for name in names:
        assert management.client.post("/projects", json={"project_name": name}).status_code == 201
    listed = ("projects", "list", "--sort", "name", "--query", f"name=~{prefix}")
    assert [each["name"] for each in local.json(*listed)] == names
    assert [each["name"] for each in local.json(*listed, "--limit", "150")] == names[:150]
    assert [each["name"] for each in local.json(*listed, "--limit", "3")] == names[:3]
    assert local.json("projects", "list", "--query", "name=no-such-project") == []


def test_a_project_with_repositories_is_not_deleted(local: Admin, installation: Installation) -> None:
    name = named()
    local.run("projects", "create", name)
    push(installation.http_url, Login("admin", installation.admin_password), f"{name}/app", image(1), "v1")
    said = local.refused("projects", "delete", name, "--yes")
    assert "412 PRECONDITION" in said
    assert local.json("projects", "show", name)["repo_count"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("create", "library"), 1, "409 CONFLICT"),
        (("create", "Upper"), 1, "400 BAD_REQUEST"),
        (("create", "x", "--storage-limit", "much"), 2, "'much' is not a size such as 10GiB, 500MB or 1048576"),
        (("create", "x", "--set", "severity"), 2, "'severity' is not KEY=VALUE"),
        (("update", "library"), 2, "nothing to change; name --public, --private, --storage-limit or --set"),
        (("update", "library", "--public", "--private"), 2, "not allowed with argument --public"),
        (("update", "library", "--set", "severity=deadly"), 1, "400 BAD_REQUEST"),
        (("update", "no-such-project", "--public"), 1, "there is no project no-such-project that admin may see"),
        (("delete", "no-such-project", "--yes"), 1, "there is no project no-such-project that admin may see"),
        (("delete", "library"), 2, "there is no terminal to ask whether to delete the project library; say --yes"),
        (("show", ".."), 2, "'..' is not a name"),
        (("show", "a/b"), 1, "there is no project a/b"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    assert said in local.refused("projects", *arguments, status=status)
