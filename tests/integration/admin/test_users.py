"""`roadstead admin users`, and the tasks about the password of admin."""

import secrets
from pathlib import Path

import pytest

from tests.harness import plain_http
from tests.harness.admin_cli import Admin
from tests.harness.installation import Installation, StartInstallation

FIRST, SECOND = "First-Passw0rd", "Second-Passw0rd"
FIELDS = {
    "user_id",
    "username",
    "email",
    "realname",
    "comment",
    "sysadmin_flag",
    "admin_role_in_auth",
    "creation_time",
    "update_time",
    "etag",
}
"""The JSON of a user, as docs/cli.md has it."""


def named() -> str:
    return f"u{secrets.token_hex(5)}"


def status_of(installation: Installation, user: str, password: str) -> int:
    return plain_http.get(f"{installation.http_url}/api/v2.0/users/current", auth=(user, password)).status_code


def create(admin: Admin, name: str, *more: str) -> dict[str, object]:
    created: dict[str, object] = admin.json(
        "users", "create", name, "--email", f"{name}@example.com", *more, stdin=f"{FIRST}\n"
    )
    return created


def test_a_user_from_its_creation_to_its_end(admin: Admin) -> None:
    name = named()
    created = create(admin, name)
    assert set(created) == FIELDS
    assert (created["username"], created["realname"], created["sysadmin_flag"]) == (name, name, False)
    assert admin.json("users", "show", name) == created
    changed = admin.json("users", "update", name, "--comment", "builds")
    assert (changed["comment"], changed["email"], changed["realname"]) == ("builds", f"{name}@example.com", name)
    assert admin.json("users", "set-admin", name, "yes")["sysadmin_flag"] is True
    assert admin.json("users", "set-admin", name, "no")["sysadmin_flag"] is False
    assert admin.run("users", "set-password", name, stdin=f"{SECOND}\n").stdout == ""
    assert set(disabled := admin.json("users", "disable", name)) == {*FIELDS, "disabled"}
    assert disabled["disabled"] is True
    assert ["ENABLED", "no"] in admin.table("users", "show", name)
    assert set(admin.json("users", "enable", name)) == FIELDS
    assert [user["username"] for user in admin.json("users", "list", "--query", f"username={name}")] == [name]
    result = admin.run("users", "delete", name, "--yes")
    assert (result.stdout, result.stderr) == ("", f"the user {name} is deleted\n")
    assert f"there is no user {name}; `roadstead admin users list` shows all" in admin.refused("users", "show", name)


def test_tables_are_aligned_and_show_one_user_line_by_line(local: Admin) -> None:
    name = named()
    user = create(local, name, "--admin", "--realname", "Ä 猫", "--comment", "x")
    lines = local.run("users", "list", "--sort=-user_id", "--limit", "2").stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["ID", "USER", "EMAIL", "NAME", "ADMIN", "ENABLED", "CREATED", "COMMENT"]
    assert lines[1].split() == [
        *(str(user["user_id"]), name, f"{name}@example.com", "Ä", "猫", "yes", "yes", str(user["creation_time"]), "x")
    ]
    # The character is two columns wide.
    assert lines[0].index("ADMIN") == lines[1].index("yes") + 1
    assert local.table("users", "show", name)[:2] == [["ID", str(user["user_id"])], ["USER", name]]


def test_a_password_is_changed_everywhere_at_once(local: Admin, installation: Installation, tmp_path: Path) -> None:
    name = named()
    create(local, name)
    assert status_of(installation, name, FIRST) == 200
    file = tmp_path / "new"
    file.touch(mode=0o600)
    file.write_text(SECOND)
    local.run("users", "set-password", name, "--password-file", file)
    assert (status_of(installation, name, SECOND), status_of(installation, name, FIRST)) == (200, 401)


def test_the_password_of_admin_is_kept_for_the_next_command(start_installation: StartInstallation, home: Path) -> None:
    own = start_installation(grpc=False)
    local = Admin(home, ("--data-dir", str(own.data_dir)))
    local.run("set-password", "admin", stdin=f"{SECOND}\n")
    assert local.run("password").stdout == f"{SECOND}\n"
    assert local.table("users", "list")[1][1] == "admin"
    assert "412 PRECONDITION" in local.refused("users", "set-admin", "admin", "no")
    # Somebody changes it elsewhere, so the file is outdated.
    answer = plain_http.request(
        "PUT",
        f"{own.http_url}/api/v2.0/users/1/password",
        auth=("admin", SECOND),
        json={"old_password": SECOND, "new_password": FIRST},
    )
    assert answer.status_code == 200
    said = local.refused("users", "list")
    assert "401 UNAUTHORIZED" in said
    assert f"{own.data_dir}/admin-password does not hold the password of admin any more" in said
    (own.data_dir / "admin-password").unlink()
    assert f"cannot read {own.data_dir}/admin-password" in local.refused("password")


def test_a_disabled_user_is_let_in_nowhere_until_enabled(local: Admin, installation: Installation) -> None:
    name = named()
    create(local, name)
    for action, status in (("disable", 401), ("enable", 200)):
        for _ in range(2):
            local.run("users", action, name)
            assert status_of(installation, name, FIRST) == status


def test_an_administrator_that_is_only_half_made_is_said_with_the_way_on(
    local: Admin, bare: Admin, installation: Installation, home: Path
) -> None:
    # A robot that may create users makes no administrators.
    file, name = home / "secret", named()
    permissions = (
        "--allow",
        "/user:create",
        "--allow",
        "/user:list",
        "--allow",
        "/user:read",
        "--allow",
        "/user:update",
    )
    local.run("robots", "create", name, *permissions, "--secret-file", file)
    login = ("--url", installation.http_url, "--user", f"robot${name}", "--password-file", file)
    bare.run("login", "robot", *login)

    create_it = ("users", "create", name, "--email", f"{name}@example.com", "--admin", "--profile", "robot")
    said = bare.refused(*create_it, stdin=f"{FIRST}\n")

    assert f"the user {name} is created, and is no administrator yet: " in said
    assert "403 FORBIDDEN" in said
    assert f"`roadstead admin users set-admin {name} yes` does the rest" in said
    assert local.json("users", "show", name)["sysadmin_flag"] is False
    assert local.json("users", "set-admin", name, "yes")["sysadmin_flag"] is True
    # If there is no user, that is all that is said.
    again = bare.refused(*create_it, stdin=f"{FIRST}\n")
    assert "409 CONFLICT" in again
    assert "is created" not in again


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "said"),
    [
        (("create", "admin", "--email", "a@example.com"), "Passw0rd-1\n", 1, "409 CONFLICT"),
        (("create", "bob", "--email", "a@example.com"), "weak\n", 1, "400 BAD_REQUEST"),
        (("create", "bob", "--email", "a@example.com"), "", 1, "standard input has no line with a password"),
        (("create", "bob"), "", 2, "the following arguments are required: --email"),
        (("update", "admin"), "", 2, "nothing to change; name --email, --realname or --comment"),
        (("delete", "admin"), "", 2, "there is no terminal to ask whether to delete the user admin; say --yes"),
        (("delete", "admin", "--yes"), "", 1, "403 FORBIDDEN"),
        (("disable", "admin"), "", 1, "you cannot disable yourself (412 PRECONDITION)"),
        (("disable", "no-such-user"), "", 1, "there is no user no-such-user"),
        (("set-admin", "admin", "maybe"), "", 2, "maybe is not known; there are yes, no"),
        (("show", "nobody-of-this-name"), "", 1, "there is no user nobody-of-this-name"),
        (("show", "~dmin"), "", 1, "there is no user ~dmin"),
        (("list", "--query", "shoe_size=44"), "", 1, "there is no key 'shoe_size'"),
        (("list", "--limit", "0"), "", 2, "'0' is not a number of 1 or more"),
        (("list", "--limt", "7"), "", 2, "--limt is not known; did you mean --limit?"),
    ],
)
def test_wrong_use_says_what_to_do(
    local: Admin, arguments: tuple[str, ...], stdin: str, status: int, said: str
) -> None:
    assert said in local.refused("users", *arguments, stdin=stdin, status=status)
