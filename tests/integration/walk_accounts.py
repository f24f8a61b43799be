"""The routes of users, members and groups, for `test_rest.py`."""

import secrets

import httpx

from tests.harness.walk import TIME, Walk
from tests.harness.workspace import DEVELOPER, GUEST, Login


def walk_refresh_tokens(walk: Walk, path: str, login: Login) -> None:
    """Lists the refresh token of the account at a path, and ends it."""
    form = {
        "grant_type": "password",
        "access_type": "offline",
        "service": "harbor-registry",
        "client_id": "walk",
        "username": login.name,
        "password": login.secret,
    }
    walk.client.post("/service/token", data=form, auth=httpx.Auth()).raise_for_status()
    (token,) = walk.read(f"{path}/refresh-tokens")
    assert token["client_id"] == "walk"
    walk.change("DELETE", f"{path}/refresh-tokens/{token['id']}")
    assert walk.read(f"{path}/refresh-tokens") == []


def walk_users(walk: Walk) -> Login:
    me = walk.read("/users/current")
    assert (me["username"], me["sysadmin_flag"]) == ("admin", True)
    assert TIME.fullmatch(me["creation_time"])
    assert {"resource": "/project/1/repository", "action": "push"} in walk.read(
        "/users/current/permissions?scope=/project/1"
    )
    login = Login(f"u{secrets.token_hex(5)}", "Passw0rd-1")
    location = walk.create(
        "/users",
        {"username": login.name, "password": login.secret, "email": f"{login.name}@example.com", "realname": "N"},
    ).headers["Location"]
    path = location.removeprefix("/api/v2.0")
    walk.change("PUT", path, {"realname": "New", "email": f"{login.name}@example.org", "comment": "changed"})
    user = walk.read(path)
    assert (user["username"], user["realname"], user["comment"]) == (login.name, "New", "changed")
    walk.change("PUT", f"{path}/sysadmin", {"sysadmin_flag": True})
    assert walk.read(path)["sysadmin_flag"] is True
    walk.change("PUT", f"{path}/sysadmin", {"sysadmin_flag": False})
    walk.change("PUT", f"{path}/password", {"new_password": "Passw0rd-2"})
    assert walk.read("/users/current", auth=(login.name, "Passw0rd-2"))["username"] == login.name
    walk.call("GET", "/users/current", 401, auth=login.basic)
    walk_refresh_tokens(walk, path, Login(login.name, "Passw0rd-2"))
    for disabled in (True, False):
        walk.change("PUT", f"{path}/disabled", {"disabled": disabled})
    # By the mail address, too.
    assert walk.read("/users/current", auth=(f"{login.name}@example.org", "Passw0rd-2"))["username"] == login.name
    assert walk.read(f"/users/search?username={login.name}") == [{"user_id": user["user_id"], "username": login.name}]
    assert [each["username"] for each in walk.read(f"/users?email={login.name}@example.org")] == [login.name]
    for body in ({}, {"comment": "x"}, {"email": "x@example.org"}):
        assert walk.call("PUT", path, 400, json=body).json()["errors"][0]["code"] == "BAD_REQUEST"
    walk.call("PUT", f"{path}/sysadmin", 422)
    refused = walk.call("PUT", f"{path}/cli_secret", 412, json={"secret": "Passw0rd-3"})
    assert refused.json()["errors"][0]["message"] == "unable to update CLI secret under authmode: db_auth"
    return Login(login.name, "Passw0rd-2")


def walk_members(walk: Walk, project: str, user: Login) -> None:
    walk.call("GET", f"/projects/{project}", 404, auth=user.basic)
    path = (
        walk.create(f"/projects/{project}/members", {"role_id": GUEST, "member_user": {"username": user.name}})
        .headers["Location"]
        .removeprefix("/api/v2.0")
    )
    assert walk.read(path)["role_name"] == "guest"
    assert walk.read(f"/projects/{project}", auth=user.basic)["current_user_role_id"] == GUEST
    walk.change("PUT", path, {"role_id": DEVELOPER})
    (member,) = walk.read(f"/projects/{project}/members?entityname={user.name}")
    assert (member["role_id"], member["entity_type"]) == (DEVELOPER, "u")
    walk.change("DELETE", path)
    walk.call("GET", path, 404)


def walk_groups(walk: Walk, project: str, user: Login) -> None:
    name = f"g{secrets.token_hex(5)}"
    location = walk.create("/usergroups", {"group_name": name, "group_type": 3}).headers["Location"]
    path = location.removeprefix("/api/v2.0")
    group = walk.read(path)
    assert {key: group[key] for key in ("group_name", "group_type")} == {"group_name": name, "group_type": 3}
    assert walk.read(f"/usergroups?group_name={name}") == [group]
    found = {key: group[key] for key in ("id", "group_name", "group_type")}
    # Everybody who has logged in may name a group.
    assert walk.call("GET", f"/usergroups/search?groupname={name}", auth=user.basic).json() == [found]
    walk.call("GET", path, 403, auth=user.basic)
    walk.change("PUT", path, {"group_name": f"{name}-new"})
    assert walk.read(path)["group_name"] == f"{name}-new"
    walk.create(f"/projects/{project}/members", {"role_id": GUEST, "member_group": {"id": group["id"]}})
    walk.call("GET", f"/projects/{project}", 404, auth=user.basic)
    entry = walk.create(f"{path}/members", {"username": user.name}).headers["Location"].removeprefix("/api/v2.0")
    (member,) = walk.read(f"{path}/members")
    assert (member["username"], bool(TIME.fullmatch(member["creation_time"]))) == (user.name, True)
    assert walk.read(f"/projects/{project}", auth=user.basic)["current_user_role_ids"] == [GUEST]
    walk.change("DELETE", entry)
    walk.change("DELETE", path)
    walk.call("GET", path, 404)
