"""The administrator of one project tries to get into another: by ids of its rows, by its name in many spellings, by a
project with its id as a name, and by giving more than they hold."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.plain_http import ANSWER_SECONDS, NO_TLS
from tests.harness.push import push
from tests.harness.workspace import DEVELOPER, MAINTAINER, PROJECT_ADMIN, Login, Management

REFUSED = {400, 401, 403, 404}


@dataclass(frozen=True)
class Border:
    """An attacker's own project, and the one of somebody else with a row of each kind."""

    http: httpx.Client
    own: str
    foreign: str
    foreign_id: int
    rows: dict[str, int]

    def ask(self, method: str, path: str, **more: Any) -> int:
        """The status of a request of the attacker."""
        return self.http.request(method, path, **more).status_code


def _made(management: Management, login: Login, path: str, body: dict[str, Any]) -> int:
    created = management.client.post(path, json=body, auth=login.basic).raise_for_status()
    return int(created.headers["Location"].rpartition("/")[2])


def _rows(management: Management, login: Login, project: str) -> dict[str, int]:
    project_id = management.project_id(project)
    pull = [{"resource": "repository", "action": "pull"}]
    robot = {"name": f"r{secrets.token_hex(4)}", "level": "project", "duration": -1}
    member = {"role_id": DEVELOPER, "member_user": {"username": management.create_user().name}}
    label = {"name": "mine", "scope": "p", "project_id": project_id}
    permissions = [{"kind": "project", "namespace": project, "access": pull}]
    return {
        "member": _made(management, login, f"/projects/{project}/members", member),
        "robot": _made(management, login, "/robots", robot | {"permissions": permissions}),
        "label": _made(management, login, "/labels", label),
    }


@pytest.fixture(scope="module")
def border(installation: Installation, management: Management) -> Iterator[Border]:
    attacker, owner = management.create_user(), management.create_user()
    projects = {}
    for login in (attacker, owner):
        projects[login.name] = project = management.create_project()
        management.add_member(project, login, PROJECT_ADMIN)
        push(installation.http_url, login, f"{project}/app", image(91), "v1")
    own, foreign = projects[attacker.name], projects[owner.name]
    url = f"{installation.http_url}/api/v2.0"
    with httpx.Client(
        base_url=url, auth=attacker.basic, verify=NO_TLS, trust_env=False, timeout=ANSWER_SECONDS
    ) as http:
        yield Border(http, own, foreign, management.project_id(foreign), _rows(management, owner, foreign))


def test_the_rows_of_ones_own_project_open(border: Border, management: Management) -> None:
    """Without this, all the refusals below might have another, common reason."""
    rows = _rows(management, management.admin, border.own)
    assert border.ask("GET", f"/projects/{border.own}/members/{rows['member']}") == 200
    assert border.ask("GET", f"/projects/{border.own}/robots/{rows['robot']}") == 200
    assert border.ask("GET", f"/labels/{rows['label']}") == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/projects/{own}/members/{member}", "/projects/{own}/robots/{robot}", "/robots/{robot}", "/labels/{label}"]
)
def test_a_row_of_another_project_does_not_exist(border: Border, method: str, path: str) -> None:
    url = path.format(own=border.own, **border.rows)
    body: dict[str, Any] = {"role_id": PROJECT_ADMIN} if "members" in path else {"name": "taken"}
    if path == "/robots/{robot}":
        access = [{"resource": "repository", "action": "pull"}]
        body["permissions"] = [{"kind": "project", "namespace": border.own, "access": access}]
    assert border.ask(method, url, **({} if method != "PUT" else {"json": body})) == 404


def test_what_names_another_project_in_its_body_or_query_is_refused(border: Border) -> None:
    pull = [{"resource": "repository", "action": "pull"}]
    foreign = {"kind": "project", "namespace": border.foreign, "access": pull}
    robot = {"name": "spy", "level": "project", "duration": -1, "permissions": [foreign]}
    assert border.ask("POST", "/robots", json=robot) == 404
    own = foreign | {"namespace": border.own}
    assert border.ask("POST", "/robots", json=robot | {"permissions": [own, foreign]}) in REFUSED
    for namespace in ("*", "/"):
        wide = foreign | {"namespace": namespace, "kind": "system" if namespace == "/" else "project"}
        assert border.ask("POST", "/robots", json=robot | {"level": "system", "permissions": [wide]}) in REFUSED
        assert border.ask("POST", "/robots", json=robot | {"permissions": [wide]}) in REFUSED
    full_name = [{"resource": f"/project/{border.foreign_id}/repository", "action": "pull"}]
    assert border.ask("POST", f"/projects/{border.own}/robots", json={"name": "spy", "access": full_name}) == 400
    assert border.ask("POST", "/labels", json={"name": "x", "scope": "p", "project_id": border.foreign_id}) == 404
    assert border.ask("GET", "/labels", params={"scope": "p", "project_id": border.foreign_id}) == 404
    assert border.ask("GET", "/robots", params={"q": f"Level=project,ProjectID={border.foreign_id}"}) == 404
    assert border.ask("GET", f"/quotas/{border.foreign_id}") in REFUSED
    assert border.ask("PUT", f"/quotas/{border.foreign_id}", json={"hard": {"storage": -1}}) in REFUSED
    artifact = f"/projects/{border.own}/repositories/app/artifacts/v1"
    assert border.ask("GET", artifact) == 200
    assert border.ask("POST", f"{artifact}/labels", json={"id": border.rows["label"]}) in REFUSED


def test_a_project_that_is_named_as_the_id_of_another_is_itself(border: Border) -> None:
    name = str(border.foreign_id)
    assert border.ask("POST", "/projects", json={"project_name": name}) == 201
    by_name = {"X-Is-Resource-Name": "true"}
    assert border.ask("GET", f"/projects/{name}") == 404
    own = border.http.get(f"/projects/{name}", headers=by_name).raise_for_status().json()
    assert (own["name"], own["project_id"] == border.foreign_id) == (name, False)
    for path in ("members", "summary", "metadatas/", "robots", "artifacts"):
        assert border.ask("GET", f"/projects/{name}/{path}") == 404, path
        assert border.ask("GET", f"/projects/{name}/{path}", headers=by_name) == 200, path


SPELLINGS = (
    "{name}",
    "%{first:02x}{rest}",
    "%{first:02X}{rest}",
    "%25{first:02x}{rest}",
    "{name}%00",
    "{name}%2F",
    "{name}%252F",
    "{own}%2F..%2F{name}",
    "{own}%252F%252e%252e%252F{name}",
    ".%2F{name}",
    "%2e%2e%2F{name}",
    "{upper}",
    "{name}.",
    "{name}%20",
    "{wide}",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_its_name_opens_it(border: Border, spelling: str) -> None:
    name = border.foreign
    wide = "%EF%BD%90" + name[1:]  # a full-width p, which some libraries take for a p
    text = spelling.format(name=name, first=ord(name[0]), rest=name[1:], own=border.own, upper=name.upper(), wide=wide)
    for path in (f"/projects/{text}", f"/projects/{text}/repositories", f"/projects/{text}/repositories/app/artifacts"):
        assert border.ask("GET", path) in REFUSED, path
    for repository in (f"{text}%2Fapp", f"..%2F{text}%2Fapp", f"%252e%252e%252F{text}%252Fapp"):
        path = f"/projects/{border.own}/repositories/{repository}/artifacts/v1"
        assert border.ask("GET", path) in REFUSED, path


def test_nobody_gives_a_robot_or_a_member_more_than_they_hold(management: Management) -> None:
    project = management.create_project()

    def held(*pairs: str) -> list[dict[str, str]]:
        return [dict(zip(("resource", "action"), pair.split(":"), strict=True)) for pair in pairs]

    def make_robot(maker: Login, *pairs: str) -> httpx.Response:
        permissions = [{"kind": "project", "namespace": project, "access": held(*pairs)}]
        body = {"name": f"r{secrets.token_hex(4)}", "level": "project", "duration": -1, "permissions": permissions}
        return management.client.post("/robots", json=body, auth=maker.basic)

    def make_member(maker: Login, role_id: int) -> int:
        body = {"role_id": role_id, "member_user": {"username": management.create_user().name}}
        return management.client.post(f"/projects/{project}/members", json=body, auth=maker.basic).status_code

    small = management.create_robot(project, held("robot:create", "repository:pull"))
    assert make_robot(small, "repository:push").status_code == 403
    assert make_robot(small, "robot:create", "robot:delete").status_code == 403
    made = make_robot(small, "robot:create", "repository:pull")
    assert made.status_code == 201
    # Nor does a robot that a robot has made.
    grandchild = Login(made.json()["name"], made.json()["secret"])
    assert make_robot(grandchild, "repository:push").status_code == 403
    assert make_robot(grandchild, "repository:pull").status_code == 201
    assert make_member(management.create_robot(project, held("member:create", "repository:pull")), PROJECT_ADMIN) == 403
    for role_id in (PROJECT_ADMIN, DEVELOPER):
        maintainer, by_group = management.create_user(), management.create_user()
        management.add_member(project, maintainer, MAINTAINER)
        management.add_group(project, management.create_group(by_group), MAINTAINER)
        for login in (maintainer, by_group):
            assert make_member(login, role_id) == 403
            assert make_robot(login, "repository:pull").status_code == 403
    administrator = management.create_user()
    management.add_group(project, management.create_group(administrator), PROJECT_ADMIN)
    assert make_member(administrator, PROJECT_ADMIN) == 201
    assert make_robot(administrator, "repository:push").status_code == 201
