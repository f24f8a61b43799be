"""`roadstead admin refresh-tokens`: the stolen log-in of a user or robot is found and cut off, here and elsewhere."""

import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ctl.liveness import unverified
from tests.harness.admin_cli import Admin
from tests.harness.installation import Installation
from tests.harness.plain_http import ANSWER_SECONDS
from tests.harness.workspace import Login, Management

FIELDS = {
    "id",
    "client_id",
    "service",
    "creation_time",
    "creation_address",
    "last_use_time",
    "last_use_address",
    "expiration_time",
}
"""The JSON of a refresh token, as docs/cli.md has it."""

Holder = tuple[Login, tuple[str, ...]]
"""Who logs in, and the arguments that name the same."""


def asked(installation: Installation, form: dict[str, str]) -> Any:
    url = f"{installation.http_url}/service/token"
    answer = httpx.post(url, data=form, verify=unverified(), trust_env=False, timeout=ANSWER_SECONDS)
    return answer.json() if answer.status_code == 200 else answer.status_code


def token_of(installation: Installation, login: Login, client_id: str) -> str:
    """The refresh token that a client gets for a password."""
    form = {"grant_type": "password", "username": login.name, "password": login.secret, "access_type": "offline"}
    return str(asked(installation, {**form, "client_id": client_id})["refresh_token"])


def works(installation: Installation, token: str, client_id: str) -> bool:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client_id}
    answer = asked(installation, form)
    if answer == 401:
        return False
    assert answer["refresh_token"] == token
    return True


def new_user(admin: Admin) -> Holder:
    login = Login(f"u{secrets.token_hex(5)}", "First-Passw0rd")
    created = ("users", "create", login.name, "--email", f"{login.name}@example.com")
    admin.run(*created, stdin=f"{login.secret}\n")
    return login, ("--user", login.name)


def new_robot(admin: Admin) -> Holder:
    name = f"r{secrets.token_hex(5)}"
    created = admin.json("robots", "create", name, "--allow", "library/repository:pull")
    return Login(created["name"], created["secret"]), ("--robot", name)


def new_project_robot(admin: Admin) -> Holder:
    project = f"p{secrets.token_hex(5)}"
    admin.run("projects", "create", project)
    there = ("--project", project)
    created = admin.json("robots", "create", "ci", *there, "--allow", "repository:pull")
    return Login(created["name"], created["secret"]), ("--robot", "ci", *there)


@pytest.mark.parametrize("make", [new_user, new_robot, new_project_robot])
def test_a_stolen_log_in_is_found_and_cut_off(
    admin: Admin, reached: Installation, make: Callable[[Admin], Holder]
) -> None:
    login, whose = make(admin)
    assert admin.json("refresh-tokens", "list", *whose) == []
    of_ci, of_docker = (token_of(reached, login, client) for client in ("ci-runner", "docker"))

    listed = admin.json("refresh-tokens", "list", *whose)
    assert [set(token) for token in listed] == [FIELDS, FIELDS]
    assert [token["client_id"] for token in listed] == ["docker", "ci-runner"]
    table = admin.table("refresh-tokens", "list", *whose, "--limit", "1")
    assert table[0] == ["ID", "CLIENT", "CREATED", "CREATED-FROM", "USED", "USED-FROM", "EXPIRES"]
    newest = listed[0]
    assert [row[:4] for row in table[1:]] == [
        [str(newest["id"]), "docker", newest["creation_time"], newest["creation_address"]]
    ]

    stolen = str(listed[1]["id"])
    revoke = ("refresh-tokens", "revoke", stolen, *whose)
    result = admin.run(*revoke)
    assert result.stdout == ""
    assert f"the refresh token {stolen} of {login.name} is revoked; whoever used it has to log in again" in (
        result.stderr
    )
    assert not works(reached, of_ci, "ci-runner")
    assert works(reached, of_docker, "docker")
    assert admin.json("refresh-tokens", "list", *whose) == listed[:1]
    said = admin.refused(*revoke)
    assert f"{login.name} has no refresh token {stolen}, or it has ended already; `roadstead admin" in said
    assert not {of_ci, of_docker} & set("".join(admin.seen).replace('"', " ").split())


def test_users_look_after_their_own_and_not_after_those_of_others(
    bare: Admin, local: Admin, installation: Installation
) -> None:
    login, whose = new_user(local)
    other, whose_else = new_user(local)
    token = token_of(installation, login, "laptop")
    token_of(installation, other, "laptop")
    bare.run(
        *("login", "own", "--url", installation.http_url, "--user", login.name, "--password-variable", "SECRET"),
        SECRET=login.secret,
    )
    profile = ("--profile", "own")
    listed = bare.run("refresh-tokens", "list", *whose, *profile, SECRET=login.secret)
    [_, [token_id, *_]] = map(str.split, listed.stdout.splitlines())
    refused = bare.run("refresh-tokens", "list", *whose_else, *profile, status=1, SECRET=login.secret)
    assert "403 FORBIDDEN" in refused.stderr
    bare.run("refresh-tokens", "revoke", token_id, *whose, *profile, SECRET=login.secret)
    assert not works(installation, token, "laptop")


def test_a_token_of_somebody_else_is_not_ended_by_its_id(local: Admin, installation: Installation) -> None:
    login, whose = new_user(local)
    _, whose_else = new_robot(local)
    token = token_of(installation, login, "laptop")
    [row] = local.json("refresh-tokens", "list", *whose)
    assert "has no refresh token" in local.refused("refresh-tokens", "revoke", str(row["id"]), *whose_else)
    assert works(installation, token, "laptop")


def test_a_list_has_all_pages(local: Admin, installation: Installation) -> None:
    login, whose = new_user(local)
    for number in range(103):
        token_of(installation, login, f"client-{number}")
    clients = [token["client_id"] for token in local.json("refresh-tokens", "list", *whose)]
    assert clients == [f"client-{number}" for number in reversed(range(103))]


def test_disabling_a_user_ends_all_of_them_for_good(local: Admin, installation: Installation) -> None:
    login, whose = new_user(local)
    token = token_of(installation, login, "laptop")
    local.run("users", "disable", login.name)
    assert not works(installation, token, "laptop")
    local.run("users", "enable", login.name)
    assert not works(installation, token, "laptop")
    assert local.json("refresh-tokens", "list", *whose) == []
    assert works(installation, token_of(installation, login, "laptop"), "laptop")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("list",), 2, "say whose: --user USER, or --robot ROBOT"),
        (("list", "--user", "admin", "--robot", "ci"), 2, "not allowed with argument --user"),
        (("list", "--user", "admin", "--project", "library"), 2, "--project says where a robot is"),
        (("list", "--user", "no-such-user"), 1, "there is no user no-such-user"),
        (("list", "--robot", "no-such-robot"), 1, "there is no robot no-such-robot on the system level"),
        (("list", "--robot", "ci", "--project", "library"), 1, "there is no robot ci in the project library"),
        (("revoke", "--user", "admin"), 2, "the following arguments are required: ID"),
        (("revoke", "0", "--user", "admin"), 2, "it is not an id; `list` shows the ids"),
        (("revoke", "rsr_Typed-Secret-1", "--user", "admin"), 2, "it is not an id; `list` shows the ids"),
        (("revoke", "--user", "admin", "--token", "rsr_Typed-Secret-1"), 2, "arguments hold no secrets"),
        (("revoke", "9223372036854775807", "--user", "admin"), 1, "admin has no refresh token 9223372036854775807"),
        (("revoke", "7", "--user", "admin", "--limit", "7"), 2, "--limit is not known"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    text = local.refused("refresh-tokens", *arguments, status=status)
    assert said in text
    assert "Typed-Secret-1" not in text


def test_robots_are_looked_after_by_those_of_their_project(
    bare: Admin, local: Admin, installation: Installation, management: Management
) -> None:
    robot, whose = new_project_robot(local)
    maintainer = management.create_user()
    project = whose[-1]
    local.run("members", "add", project, maintainer.name, "--role", "maintainer")
    token = token_of(installation, robot, "ci-runner")
    login = ("--url", installation.http_url, "--user", maintainer.name, "--password-variable", "SECRET")
    bare.run("login", "own", *login, SECRET=maintainer.secret)

    listed = bare.run("refresh-tokens", "list", *whose, "--profile", "own", SECRET=maintainer.secret)
    token_id = listed.stdout.splitlines()[1].split()[0]
    revoke = ("refresh-tokens", "revoke", token_id, *whose, "--profile", "own")
    # A maintainer may read robots, and not change them.
    assert "403 FORBIDDEN" in bare.run(*revoke, status=1, SECRET=maintainer.secret).stderr
    assert works(installation, token, "ci-runner")
    local.run("members", "change", project, maintainer.name, "--role", "projectAdmin")
    bare.run(*revoke, SECRET=maintainer.secret)
    assert not works(installation, token, "ci-runner")
