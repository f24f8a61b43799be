"""`roadstead admin quotas`."""

import secrets

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import Login

FIELDS = {"id", "ref", "hard", "used", "creation_time", "update_time", "etag"}
"""The JSON of a quota, as docs/cli.md has it."""


def test_a_quota_is_set_and_shown(admin: Admin) -> None:
    project = f"p{secrets.token_hex(5)}"
    admin.run("projects", "create", project, "--storage-limit", "1GiB")
    assert admin.json("quotas", "show", project)["hard"] == {"storage": 1024**3}
    changed = admin.json("quotas", "set", project, "3GiB")
    assert set(changed) == FIELDS
    assert (changed["hard"], changed["used"]) == ({"storage": 3 * 1024**3}, {"storage": 0})
    assert changed["ref"]["name"] == project
    assert admin.table("quotas", "set", project, "unlimited") == [
        ["ID", str(changed["id"])],
        ["PROJECT", project],
        ["USED", "0", "B"],
        ["LIMIT", "unlimited"],
    ]
    assert changed["id"] in {quota["id"] for quota in admin.json("quotas", "list")}


def test_the_list_begins_with_who_stores_most(local: Admin, installation: Installation) -> None:
    project = f"p{secrets.token_hex(5)}"
    local.run("projects", "create", project)
    push(installation.http_url, Login("admin", installation.admin_password), f"{project}/app", image(1), "v1")
    listed = local.json("quotas", "list", "--sort=-used.storage")
    used = [quota["used"]["storage"] for quota in listed]
    assert used == sorted(used, reverse=True)
    assert next(quota for quota in listed if quota["ref"]["name"] == project)["used"]["storage"] > 0
    assert local.json("quotas", "list", "--sort=-used.storage", "--limit", "1") == listed[:1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("set", "library", "a lot"), 2, "'a lot' is not a size such as 10GiB"),
        (("set", "library", "0"), 1, "400 BAD_REQUEST"),
        (("set", "library", "9999999999TiB"), 1, "400 BAD_REQUEST"),
        (("set", "no-such-project", "1GiB"), 1, "there is no project no-such-project"),
        (("show", "no-such-project"), 1, "there is no project no-such-project"),
        (("list", "--sort", "colour"), 1, "400 BAD_REQUEST"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    assert said in local.refused("quotas", *arguments, status=status)
