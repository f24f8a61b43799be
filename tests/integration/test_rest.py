"""Every route of /api/v2.0 against a running installation: each is called, and answers as Harbor's clients expect."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.harness.images import OCI_MANIFEST, Image, image, index
from tests.harness.installation import Installation
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.walk import Walk
from tests.harness.workspace import Login, Management
from tests.integration.walk_accounts import walk_groups, walk_members, walk_refresh_tokens, walk_users
from tests.integration.walk_artifacts import walk_artifacts
from tests.integration.walk_jobs import walk_jobs
from tests.integration.walk_settings import walk_settings

REFUSED = {
    ("PUT", "/api/v2.0/users/{user_id}/cli_secret"),
    ("GET", "/api/v2.0/systeminfo/getcert"),
}
"""What does not succeed here: the secret for command lines needs an OpenID provider, and the certificate a file."""


@pytest.fixture
def walk(installation: Installation, management: Management) -> Iterator[Walk]:
    with httpx.Client(
        base_url=installation.http_url,
        auth=management.admin.basic,
        timeout=30,
        trust_env=False,
        verify=NO_TLS,
    ) as client:
        description = client.get("/api/v2.0/openapi.json").json()
        templates = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
        yield Walk(client, templates)


def test_every_route_answers_as_harbor_s_clients_expect(walk: Walk, installation: Installation) -> None:
    walk.call("GET", "/openapi.json")
    assert walk.call("GET", "/ping").text == "Pong"
    assert walk.read("/health")["status"] == "healthy"
    assert walk.read("/systeminfo")["registry_url"] == installation.host
    user = walk_users(walk)
    project = walk_projects(walk)
    walk_members(walk, project, user)
    walk_groups(walk, project, user)
    walk_robots(walk, project)
    walk_quotas(walk, project)
    walk_settings(walk, project)
    walk_jobs(walk)
    walk_repositories(walk, project, installation)
    walk_artifacts(walk, project, installation)
    walk.change("DELETE", f"/users/{walk.read(f'/users?q=username={user.name}')[0]['user_id']}")
    walk.change("DELETE", f"/projects/{project}")
    walk.call("GET", f"/projects/{project}", 404)
    missing = sorted(walk.templates - walk.walked - REFUSED)
    assert not missing, "\n".join(map(str, missing))
    assert walk.walked <= walk.templates


def walk_projects(walk: Walk) -> str:
    name = f"p{secrets.token_hex(5)}"
    walk.call("HEAD", f"/projects?project_name={name}", 404)
    document = {"project_name": name, "metadata": {"public": "false"}, "storage_limit": -1, "registry_id": None}
    location = walk.create("/projects", document).headers["Location"]
    walk.call("HEAD", f"/projects?project_name={name}")
    walk.call("POST", "/projects", 409, json=document)
    by_id = walk.read(location.removeprefix("/api/v2.0"))
    assert by_id == walk.read(f"/projects/{name}", headers={"X-Is-Resource-Name": "true"})
    assert (by_id["name"], by_id["repo_count"], by_id["metadata"]["public"]) == (name, 0, "false")
    walk.change("PUT", f"/projects/{name}", {"metadata": {"reuse_sys_cve_allowlist": "true"}})
    assert walk.read(f"/projects/{name}")["metadata"]["reuse_sys_cve_allowlist"] == "true"
    assert [project["name"] for project in walk.read(f"/projects?name={name}&public=false")] == [name]
    assert walk.read(f"/projects/{name}/_deletable")["deletable"] is True
    summary = walk.read(f"/projects/{name}/summary")
    assert (summary["project_admin_count"], summary["quota"]["hard"]["storage"]) == (1, -1)
    return name


def walk_robots(walk: Walk, project: str) -> None:
    access = [{"resource": "repository", "action": "pull"}]
    document = {
        "name": "ci",
        "level": "project",
        "duration": 30,
        "disable": False,
        "permissions": [{"kind": "project", "namespace": project, "access": access}],
    }
    created = walk.create("/robots", document)
    robot = created.json()
    path = f"/robots/{robot['id']}"
    assert created.headers["Location"] == f"/api/v2.0{path}"
    assert robot["name"] == f"robot${project}+ci"
    # Proven, and no user.
    walk.call("GET", "/users/current", 412, auth=(robot["name"], robot["secret"]))
    project_id = walk.read(f"/projects/{project}")["project_id"]
    query = quote(f"Level=project,ProjectID={project_id}", safe="")
    assert walk.read(f"/robots?q={query}") == walk.read(f"/projects/{project}/robots") == [walk.read(path)]
    walk.change("PUT", path, {**walk.read(path), "description": "changed", "duration": -1})
    assert (walk.read(path)["description"], walk.read(path)["expires_at"]) == ("changed", -1)
    # What a whole object leaves out is empty, but the duration stays: Harbor's PUT.
    same = {"name": robot["name"], "level": "project"}
    walk.change("PUT", path, {"permissions": document["permissions"], **same})
    assert (walk.read(path)["description"], walk.read(path)["duration"]) == ("", -1)
    walk.call("PUT", path, 400, json={"description": "without permissions", **same})
    for wrong in ({"name": "ci"}, {"level": "system"}, {"name": None}, {"level": ""}):
        refused = walk.call("PUT", path, 400, json={"permissions": document["permissions"], **same, **wrong})
        assert refused.json()["errors"][0]["message"].startswith("cannot update the level or name of robot")
    secret = walk.call("PATCH", path, json={"secret": ""}).json()["secret"]
    walk.call("GET", "/users/current", 412, auth=(robot["name"], secret))
    walk.call("GET", "/users/current", 401, auth=(robot["name"], robot["secret"]))
    walk_refresh_tokens(walk, path, Login(robot["name"], secret))
    walk.change("DELETE", path)
    walk.call("GET", path, 404)
    assert {"resource": "repository", "action": "pull"} in walk.read("/permissions")["project"]
    walk_old_paths_of_robots(walk, project, project_id)


def walk_old_paths_of_robots(walk: Walk, project: str, project_id: int) -> None:
    access = [{"resource": f"/project/{project_id}/repository", "action": "pull"}]
    created = walk.create(f"/projects/{project}/robots", {"name": "old", "access": access})
    path = f"/projects/{project_id}/robots/{created.json()['id']}"
    assert created.headers["Location"] == f"/api/v2.0{path}"
    walk.change("PUT", path, {"disable": True})
    assert walk.read(path)["disable"] is True
    assert walk.read(path) == walk.read(f"/robots/{created.json()['id']}")
    walk.change("DELETE", path)
    walk.call("GET", path, 404)


def walk_quotas(walk: Walk, project: str) -> None:
    project_id = walk.read(f"/projects/{project}")["project_id"]
    assert walk.read(f"/quotas/{project_id}")["hard"] == {"storage": -1}
    walk.change("PUT", f"/quotas/{project_id}", {"hard": {"storage": 10_000_000}})
    (quota,) = walk.read(f"/quotas?reference=project&reference_id={project_id}")
    assert (quota["ref"]["name"], quota["hard"]["storage"], quota["used"]["storage"]) == (project, 10_000_000, 0)


def walk_repositories(walk: Walk, project: str, installation: Installation) -> None:
    admin = Login("admin", installation.admin_password)
    many = index([image(1, architecture="amd64"), image(2, architecture="arm64")])
    digest = push(installation.http_url, admin, f"{project}/sub/app", many, "v1", "v2")
    signature = signed(many)
    push(installation.http_url, admin, f"{project}/sub/app", signature)
    other = push(installation.http_url, admin, f"{project}/sub/app", image(3), "other")
    child = many.children[0].digest
    assert walk.read(f"/projects/{project}")["repo_count"] == 1
    assert walk.read(f"/projects/{project}/_deletable")["deletable"] is False
    walk.call("DELETE", f"/projects/{project}", 412)

    path = f"/projects/{project}/repositories/sub%252Fapp"
    (repository,) = walk.read(f"/projects/{project}/repositories")
    # As in Harbor: what an index or a subject brings along is not counted beside it.
    assert (repository["name"], repository["artifact_count"]) == (f"{project}/sub/app", 2)
    assert repository == walk.read(path) == walk.read(path.replace("%25", "%"))
    assert repository in walk.read(f"/repositories?q=name%3D{project}%2Fsub%2Fapp")
    walk.change("PUT", path, {"description": "what it is"})
    assert walk.read(path)["description"] == "what it is"
    walk.call("PUT", path, 412, json={"description": "other"}, headers={"If-Match": f'"{repository["etag"]}"'})
    walk.change("PUT", path, {})
    assert walk.read(path)["description"] == "what it is"

    artifact = walk.read(f"{path}/artifacts/v1?with_accessory=true")
    assert (artifact["digest"], artifact["type"]) == (digest, "IMAGE")
    assert sorted(tag["name"] for tag in artifact["tags"]) == ["v1", "v2"]
    assert [each["platform"]["architecture"] for each in artifact["references"]] == ["amd64", "arm64"]
    assert artifact["accessories"][0]["digest"] == signature.digest
    assert walk.read(f"{path}/artifacts/{digest}?with_tag=false").get("tags") in (None, [])
    attributes = walk.read(f"{path}/artifacts/other")["extra_attrs"]
    assert attributes == {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "author": "tests",
        "config": {"Env": ["PATH=/bin"], "Labels": {"seed": "3"}},
    }
    assert walk.read(f"{path}/artifacts/{child}")["extra_attrs"]["architecture"] == "amd64"
    assert artifact["extra_attrs"] == {}
    first = walk.call("GET", f"{path}/artifacts?page_size=1&sort=push_time")
    assert first.headers["X-Total-Count"] == "2"
    following = re.findall(r'<([^>]+)>; rel="next"', first.headers["Link"])[0].removeprefix("/api/v2.0")
    assert [each["digest"] for each in first.json() + walk.read(following)] == [digest, other]
    (accessory,) = walk.read(f"{path}/artifacts/v1/accessories")
    assert accessory["subject_artifact_digest"] == digest

    key = {"Idempotency-Key": "first"}
    for _ in range(2):
        created = walk.call("POST", f"{path}/artifacts/{digest}/tags", 201, json={"name": "v3"}, headers=key)
        assert created.headers["Location"] == f"/api/v2.0{path}/artifacts/{digest}/tags/v3"
    walk.call("POST", f"{path}/artifacts/{digest}/tags", 409, json={"name": "v3"})
    assert [tag["name"] for tag in walk.read(f"{path}/artifacts/{digest}/tags?q=name%3Dv3")] == ["v3"]
    walk.change("DELETE", f"{path}/artifacts/{digest}/tags/v3")
    walk.call("GET", f"{path}/artifacts/v3", 404)

    walk.call("DELETE", f"{path}/artifacts/{child}", 412)
    walk.change("DELETE", f"{path}/artifacts/{digest}")
    walk.call("GET", f"{path}/artifacts/v1", 404)
    walk.change("DELETE", path)
    walk.call("GET", path, 404)


def signed(subject: Image) -> Image:
    """An artifact without layers of its own that names another as its subject."""
    empty = b"{}"
    digest = f"sha256:{hashlib.sha256(empty).hexdigest()}"
    config = {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": digest,
        "size": len(empty),
    }
    document: Mapping[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": config,
        "layers": [config],
        "subject": subject.descriptor,
    }
    return Image(OCI_MANIFEST, json.dumps(document).encode(), {digest: empty})


def test_a_create_is_repeated_by_the_header_idempotency_key_and_by_nothing_else(walk: Walk) -> None:
    project = {"project_name": f"p{secrets.token_hex(5)}"}
    key = {"Idempotency-Key": secrets.token_hex(8)}
    first, again = (walk.call("POST", "/projects", 201, json=project, headers=key) for _ in range(2))
    assert again.headers["Location"] == first.headers["Location"]
    walk.call("POST", "/projects", 409, json={**project, "public": True}, headers=key)
    walk.call("POST", "/projects", 409, json=project)
    # What a body says of it does not count: a client of Harbor may send fields of these names for reasons of its own.
    other = {"project_name": f"p{secrets.token_hex(5)}", "request_id": "same", "idempotency_key": "same"}
    made = walk.call("POST", "/projects", 201, json=other)
    walk.call("POST", "/projects", 409, json=other)
    for answer in (first, made):
        walk.change("DELETE", answer.headers["Location"].removeprefix("/api/v2.0"))


def test_an_update_takes_an_etag_by_the_header_if_match_and_not_from_the_body(walk: Walk) -> None:
    location = walk.create("/projects", {"project_name": f"p{secrets.token_hex(5)}"}).headers["Location"]
    path = location.removeprefix("/api/v2.0")
    read = walk.read(path)
    walk.call("PUT", path, json={"metadata": {"severity": "low"}}, headers={"If-Match": f'"{read["etag"]}"'})
    stale = {"If-Match": read["etag"]}
    walk.call("PUT", path, 412, json={"metadata": {"severity": "high"}}, headers=stale)
    assert walk.read(path)["metadata"]["severity"] == "low"
    # A client of Harbor sends back the whole object that it has read, however long ago.
    walk.change("PUT", path, {**read, "project_name": read["name"], "metadata": {"severity": "high"}})
    assert walk.read(path)["metadata"]["severity"] == "high"
    walk.change("DELETE", path)


def test_who_may_not_see_a_project_does_not_learn_that_it_is_there(walk: Walk, management: Management) -> None:
    project, outsider = management.create_project(), management.create_user()
    for path in (f"/projects/{project}", f"/projects/{project}/members", f"/projects/{project}/repositories/x"):
        there = walk.call("GET", path, 404, auth=outsider.basic).json()
        not_there = walk.call("GET", path.replace(project, "nothing"), 404, auth=outsider.basic).json()
        assert json.dumps(there).replace(project, "nothing") == json.dumps(not_there)
    assert project not in {each["name"] for each in walk.read("/projects?page_size=100", auth=outsider.basic)}


@pytest.mark.parametrize("way", ["numbers", "tokens"])
def test_pages_lead_through_all_projects(walk: Walk, management: Management, way: str) -> None:
    made = {management.create_project() for _ in range(3)}
    start = "/projects?page_size=1&sort=name"
    answer = walk.call("GET", start)
    found = [each["name"] for each in answer.json()]
    while following := next_page(answer, start, way):
        answer = walk.call("GET", following)
        found += [each["name"] for each in answer.json()]
    assert made <= set(found)
    assert len(found) == len(set(found)) == int(answer.headers["X-Total-Count"])


def next_page(answer: httpx.Response, start: str, way: str) -> str | None:
    if way == "tokens":
        token = answer.headers.get("X-Next-Page-Token")
        return f"{start}&page_token={quote(token, safe='')}" if token else None
    links = re.findall(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
    return links[0].removeprefix("/api/v2.0") if links else None


def test_a_token_goes_on_where_a_page_ended(walk: Walk, management: Management) -> None:
    for _ in range(2):
        management.create_project()
    first = walk.call("GET", "/projects?page_size=1&sort=name")
    token = quote(first.headers["X-Next-Page-Token"], safe="")
    by_token = walk.call("GET", f"/projects?page_size=1&sort=name&page_token={token}")
    assert by_token.json() == walk.read("/projects?page_size=1&sort=name&page=2")
    walk.call("GET", f"/projects?page_size=1&sort=-name&page_token={token}", 400)
