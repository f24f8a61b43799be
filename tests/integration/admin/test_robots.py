"""`roadstead admin robots`, and what becomes of their secrets."""

import json
import secrets
import stat
from pathlib import Path

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.installation import Installation
from tests.harness.plain_http import get
from tests.harness.workspace import Management

FIELDS = {
    "id",
    "name",
    "description",
    "level",
    "duration",
    "editable",
    "disable",
    "expires_at",
    "permissions",
    "creator_type",
    "creator_ref",
    "creation_time",
    "update_time",
    "etag",
}
CREATED = {"id", "name", "secret", "creation_time", "expires_at"}
"""The JSON of a robot, and of one that was just created, as docs/cli.md has them."""


def named() -> str:
    return f"r{secrets.token_hex(5)}"


def test_a_robot_of_a_project_from_its_creation_to_its_end(admin: Admin) -> None:
    project, name = f"p{secrets.token_hex(5)}", named()
    admin.run("projects", "create", project)
    there = ("--project", project)
    created = admin.json(
        *("robots", "create", name, *there, "--allow", "repository:pull", "--allow", "repository:push"),
        *("--days", "7", "--description", "builds"),
    )
    assert set(created) == CREATED
    assert created["name"] == f"robot${project}+{name}"
    robot = admin.json("robots", "show", name, *there)
    assert set(robot) == FIELDS
    assert (robot["level"], robot["duration"], robot["disable"], robot["description"]) == (
        "project",
        7,
        False,
        "builds",
    )
    pull, push = ({"resource": "repository", "action": action} for action in ("pull", "push"))
    assert robot["permissions"] == [{"kind": "project", "namespace": project, "access": [pull, push]}]
    # By its name in full, and by its id.
    assert admin.json("robots", "show", created["name"], *there) == robot
    assert admin.json("robots", "show", str(created["id"])) == robot
    assert admin.json("robots", "list", *there) == [robot]
    assert admin.json("robots", "disable", name, *there)["disable"] is True
    assert admin.json("robots", "enable", name, *there)["disable"] is False
    changed = admin.json("robots", "update", name, *there, "--allow", "repository:pull", "--days", "forever")
    assert (changed["duration"], changed["expires_at"], changed["description"]) == (-1, -1, "builds")
    assert changed["permissions"] == [{"kind": "project", "namespace": project, "access": [pull]}]
    refreshed = admin.json("robots", "refresh", name, *there)
    assert set(refreshed) == {"id", "name", "secret"}
    assert refreshed["secret"] != created["secret"]
    shown = admin.table("robots", "show", name, *there)
    assert ["PERMISSIONS", f"{project}/repository:pull"] in shown
    result = admin.run("robots", "delete", name, *there, "--yes")
    assert (result.stdout, result.stderr) == ("", f"the robot {created['name']} is deleted\n")
    assert f"there is no robot {name} in the project {project}" in admin.refused("robots", "show", name, *there)


def test_a_robot_of_the_system_has_permissions_in_each_place(local: Admin, management: Management) -> None:
    project, name = management.create_project(), named()
    created = local.json(
        *("robots", "create", name, "--disabled", "--allow", f"{project}/repository:pull"),
        *("--allow", "*/repository:list", "--deny", f"{project}/repository:list", "--allow", "/project:list"),
    )
    robot = local.json("robots", "show", f"robot${name}")
    assert robot == local.json("robots", "show", name)
    assert (robot["id"], robot["level"], robot["duration"], robot["disable"]) == (created["id"], "system", 30, True)
    assert {
        (group["kind"], group["namespace"], access["resource"], access["action"], access.get("effect"))
        for group in robot["permissions"]
        for access in group["access"]
    } == {
        ("project", project, "repository", "pull", None),
        ("project", project, "repository", "list", "deny"),
        ("project", "*", "repository", "list", None),
        ("system", "/", "project", "list", None),
    }
    (shown,) = (line[1:] for line in local.table("robots", "show", name) if line[0] == "PERMISSIONS")
    assert set(shown) == {
        f"{project}/repository:pull",
        f"!{project}/repository:list",
        "*/repository:list",
        "/project:list",
    }
    # Another change keeps them.
    assert local.json("robots", "enable", name)["permissions"] == robot["permissions"]


def test_a_secret_goes_to_json_or_into_a_file_and_nowhere_else(
    local: Admin, installation: Installation, home: Path
) -> None:
    name, file = named(), home / "secret"
    make = ("robots", "create", name, "--allow", "library/repository:pull")
    said = local.refused(*make, status=2)
    assert "the secret is shown only once; say where it goes: --secret-file FILE, or --json" in said
    # Nothing was created, or the next line would be a conflict.
    result = local.run(*make, "--secret-file", file)
    secret = file.read_text().removesuffix("\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert result.stderr == f"the secret of robot${name} is in {file}\n"
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ID", "ROBOT", "EXPIRES"]
    url = f"{installation.http_url}/api/v2.0/projects"
    assert get(url, auth=(f"robot${name}", secret)).status_code == 200
    # The file is not overwritten, and the secret stays as it is.
    assert f"{file} exists already" in local.refused("robots", "refresh", name, "--secret-file", file)
    assert get(url, auth=(f"robot${name}", secret)).status_code == 200
    other = home / "other"
    refreshed = json.loads(local.run("robots", "refresh", name, "--secret-file", other, "--json").stdout)
    assert set(refreshed) == {"id", "name"}
    assert get(url, auth=(f"robot${name}", other.read_text().strip())).status_code == 200
    # No robot, no file.
    nowhere = home / "nowhere"
    assert "409 CONFLICT" in local.refused(*make, "--secret-file", nowhere)
    assert not nowhere.exists()
    written = "".join(local.seen) + installation.log_file.read_text()
    assert secret not in written
    assert other.read_text().strip() not in written


def test_a_robot_logs_in_with_a_profile(local: Admin, installation: Installation, home: Path) -> None:
    name, file = named(), home / "secret"
    local.run("robots", "create", name, "--allow", "/project:list", "--secret-file", file)
    login = ("--url", installation.http_url, "--user", f"robot${name}", "--password-file", file)
    local.run_bare("login", "robot", *login)
    listed = local.run_bare("projects", "list", "--profile", "robot", "--query", "name=library", "--json").stdout
    assert [project["name"] for project in json.loads(listed)] == ["library"]


def test_the_permissions_of_robots_are_listed(admin: Admin) -> None:
    catalogue = admin.json("robots", "permissions")
    assert {"resource": "repository", "action": "push"} in catalogue["project"]
    table = admin.table("robots", "permissions")
    assert table[0] == ["LEVEL", "RESOURCE", "ACTION"]
    assert ["project", "repository", "push"] in table
    assert ["system", "project", "create"] in table


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("create", "ci", "--json"), 2, "a robot needs a permission; `roadstead admin robots permissions` shows all"),
        (("create", "ci", "--allow", "pull"), 2, "'pull' is not [WHERE/]RESOURCE:ACTION, such as repository:pull"),
        (("create", "ci", "--json", "--allow", "repository:pull"), 2, "say where repository:pull holds: PROJECT/"),
        (("create", "ci", "--json", "--allow", "library/repository:fly"), 1, "400 BAD_REQUEST"),
        (("create", "Upper", "--json", "--allow", "library/repository:pull"), 1, "400 BAD_REQUEST"),
        (("create", "ci", "--days", "0", "--json"), 2, "'0' is neither a number of days nor `forever`"),
        (("create", "ci", "--secret", "Typed-Secret-1"), 2, "arguments hold no secrets"),
        (("update", "ci"), 2, "nothing to change; name --description, --days, --allow or --deny"),
        (("show", "no-such-robot"), 1, "there is no robot no-such-robot on the system level"),
        (("show", "999999999"), 1, "404 NOT_FOUND"),
        (("list", "--project", "no-such-project"), 1, "there is no project no-such-project"),
        (
            ("create", "ci", "--project", "no-such-project", "--allow", "repository:pull", "--json"),
            1,
            "there is no project no-such-project that admin may see; `roadstead admin projects list` shows those",
        ),
        (("delete", "ci"), 2, "whether to delete the robot ci; say --yes"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    text = local.refused("robots", *arguments, status=status)
    assert said in text
    assert "Typed-Secret-1" not in text
