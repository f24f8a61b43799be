"""Rights that users have by their groups, over HTTP and through all services: given and taken within five seconds."""

import time
from collections.abc import Callable

import pytest

from tests.access.realm import Realm
from tests.harness import plain_http
from tests.harness.workspace import DEVELOPER, GUEST, PROJECT_ADMIN, Login

KNOWN_WITHIN_SECONDS = 5
End = Callable[[Realm, str, int, Login], None]


def delete_group(realm: Realm, _project: str, group_id: int, _login: Login) -> None:
    realm.management.client.delete(f"/usergroups/{group_id}").raise_for_status()


def remove_group(realm: Realm, project: str, group_id: int, _login: Login) -> None:
    [member] = realm.management.client.get(
        f"/projects/{project}/members", params={"q": f"entity_type=g,entity_id={group_id}"}
    ).json()
    realm.management.client.delete(f"/projects/{project}/members/{member['id']}").raise_for_status()


def leave_group(realm: Realm, _project: str, group_id: int, login: Login) -> None:
    [user] = realm.management.client.get("/users", params={"q": f"username={login.name}"}).json()
    realm.management.client.delete(f"/usergroups/{group_id}/members/{user['user_id']}").raise_for_status()


def statuses(realm: Realm, project: str, login: Login) -> list[int]:
    """What authsvc, metasvc and the token service answer."""
    base = realm.installation.http_url
    token = plain_http.get(
        f"{base}/service/token",
        params={"service": "harbor-registry", "scope": f"repository:{project}/app:pull"},
        auth=login.basic,
    ).json()["token"]
    return [
        plain_http.get(f"{base}/api/v2.0/projects/{project}", auth=login.basic).status_code,
        plain_http.get(f"{base}/api/v2.0/projects/{project}/repositories", auth=login.basic).status_code,
        plain_http.get(f"{base}/v2/{project}/app/tags/list", headers={"Authorization": f"Bearer {token}"}).status_code,
    ]


@pytest.mark.parametrize("end", [delete_group, remove_group, leave_group], ids=lambda end: end.__name__)
def test_the_end_of_a_role_by_group_is_known_everywhere_within_seconds(realm: Realm, end: End) -> None:
    management = realm.management
    project, login = management.create_project(), management.create_user()
    group_id = management.create_group(login)
    management.add_group(project, group_id, DEVELOPER)
    # The repository is not there, and whoever may look is told so.
    assert statuses(realm, project, login) == [200, 200, 404]

    end(realm, project, group_id, login)

    deadline = time.monotonic() + KNOWN_WITHIN_SECONDS
    while (found := statuses(realm, project, login)) != [404, 404, 401] and time.monotonic() < deadline:
        # The services remember an answer for two seconds; nothing tells when they have forgotten it.
        time.sleep(0.1)
    assert found == [404, 404, 401]


@pytest.mark.parametrize("form", ["id of another row", "id of a user", "name of a user", "another type", "both"])
def test_a_forged_reference_to_a_group_makes_nobody_a_member(realm: Realm, form: str) -> None:
    management = realm.management
    project, owner = management.create_project(), management.create_user()
    management.add_group(project, management.create_group(owner), PROJECT_ADMIN)
    [user] = management.client.get("/users", params={"q": f"username={owner.name}"}).json()
    group = management.client.get(f"/projects/{project}/members", params={"q": "entity_type=g"}).json()[0]
    named = {
        "id of another row": {"member_group": {"id": 2**62}},
        "id of a user": {"member_group": {"id": user["user_id"] + 10**9}},
        "name of a user": {"member_group": {"group_name": owner.name, "group_type": 3}},
        "another type": {"member_group": {"group_name": group["entity_name"], "group_type": 2}},
        "both": {"member_group": {"id": group["entity_id"]}, "member_user": {"user_id": user["user_id"]}},
    }[form]
    before = management.client.get(f"/projects/{project}/members").json()

    answer = plain_http.request(
        "POST",
        f"{realm.installation.http_url}/api/v2.0/projects/{project}/members",
        auth=owner.basic,
        json={"role_id": GUEST, **named},
    )

    assert answer.status_code in (400, 404)
    assert management.client.get(f"/projects/{project}/members").json() == before


def test_who_is_in_a_group_is_said_and_seen_by_administrators_only(realm: Realm) -> None:
    management = realm.management
    group_id, login = management.create_group(), management.create_user()
    path = f"{realm.installation.http_url}/api/v2.0/usergroups/{group_id}/members"
    for auth in (login.basic, realm.owner.basic):
        assert plain_http.request("POST", path, auth=auth, json={"username": login.name}).status_code == 403
        assert plain_http.get(path, auth=auth).status_code == 403
        assert plain_http.request("DELETE", f"{path}/1", auth=auth).status_code == 403
    assert plain_http.request("POST", path, json={"username": login.name}).status_code == 401
    assert management.client.get(path).json() == []
