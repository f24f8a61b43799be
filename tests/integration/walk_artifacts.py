"""The routes of copies, additions, labels, icons, search and statistics."""

import base64

from tests.harness.chart import README, shop
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.walk import Walk
from tests.harness.workspace import Login


def walk_artifacts(walk: Walk, project: str, installation: Installation) -> None:
    """Pushes a chart, and deletes its repositories at the end."""
    chart = shop()
    admin = Login("admin", installation.admin_password)
    push(installation.http_url, admin, f"{project}/shop", chart, "1.2.3")
    path = f"/projects/{project}/repositories"
    copied = walk.call("POST", f"{path}/sub%252Fcopy/artifacts?from={project}/shop:1.2.3", 201)
    assert copied.headers["Location"] == f"/api/v2.0{path}/sub%252Fcopy/artifacts/1.2.3"
    artifact = walk.read(f"{path}/sub%252Fcopy/artifacts/1.2.3")
    assert (artifact["digest"], artifact["type"]) == (chart.digest, "CHART")
    link = artifact["addition_links"]["readme.md"]["href"].removeprefix("/api/v2.0")
    assert walk.call("GET", link).content == README
    icon = walk.read(f"/icons/{artifact['icon']}")
    assert base64.b64decode(icon["content"]).startswith(b"\x89PNG")
    found = walk.read(f"/search?q={project}/s")
    assert [each["repository_name"] for each in found["repository"]] == [f"{project}/shop", f"{project}/sub/copy"]
    statistics = walk.read("/statistics")
    assert statistics["total_repo_count"] >= 2
    walk_labels(walk, project, f"{path}/shop/artifacts/{chart.digest}")
    walk_immutable_rules(walk, project, f"{path}/shop/artifacts/{chart.digest}")
    listed = walk.read(f"/projects/{project}/artifacts?sort=-push_time")
    assert {each["digest"] for each in listed} == {chart.digest}
    for name in ("shop", "sub%252Fcopy"):
        walk.change("DELETE", f"{path}/{name}")


def walk_labels(walk: Walk, project: str, artifact: str) -> None:
    """Makes a label, puts it on an artifact, and deletes it."""
    project_id = walk.read(f"/projects/{project}")["project_id"]
    created = walk.create("/labels", {"name": "tested", "scope": "p", "project_id": project_id})
    path = created.headers["Location"].removeprefix("/api/v2.0")
    label = walk.read(path)
    assert walk.read(f"/labels?scope=p&project_id={project_id}") == [label]
    walk.change("PUT", path, {**label, "description": "by hand"})
    walk.change("POST", f"{artifact}/labels", {"id": label["id"]})
    assert [each["name"] for each in walk.read(f"{artifact}?with_label=true")["labels"]] == ["tested"]
    walk.change("DELETE", f"{artifact}/labels/{label['id']}")
    walk.change("DELETE", path)
    walk.call("GET", path, 404)


def walk_immutable_rules(walk: Walk, project: str, artifact: str) -> None:
    """Makes a rule, has it refuse a deletion, disables and deletes it."""
    rules = f"/projects/{project}/immutabletagrules"
    body = {
        "id": 0,
        "priority": 0,
        "disabled": False,
        "action": "immutable",
        "template": "immutable_template",
        "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "**"}],
        "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "shop"}]},
    }
    created = walk.create(rules, body)
    rule_id = int(created.headers["Location"].rpartition("/")[2])
    (rule,) = walk.read(rules)
    assert rule == {**body, "id": rule_id, "etag": rule["etag"]}
    assert walk.call("POST", rules, 409, json=body).json()["errors"] == [
        {"code": "CONFLICT", "message": "immutable rule already exists"}
    ]
    for path in (artifact, f"{artifact}/tags"):
        shown = walk.read(f"{path}?with_immutable_status=true")
        assert [tag["immutable"] for tag in (shown["tags"] if path == artifact else shown)] == [True]
    refused = walk.call("DELETE", artifact, 412).json()["errors"]
    assert refused == [{"code": "PRECONDITION", "message": "the tag 1.2.3 configured as immutable, cannot be deleted"}]
    walk.call("PUT", f"{rules}/{rule_id}", 400, json={**rule, "id": rule_id + 1})
    walk.change("PUT", f"{rules}/{rule_id}", {**rule, "disabled": True})
    assert walk.read(f"{rules}?q=disabled=true") == [{**rule, "disabled": True, "etag": f"{rule_id}-1"}]
    walk.change("DELETE", f"{rules}/{rule_id}")
    walk.call("DELETE", f"{rules}/{rule_id}", 404)
