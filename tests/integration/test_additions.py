"""Additions over HTTP: what clients of Harbor get for images and for a chart that helm made."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator

import httpx
import pytest

from tests.harness import plain_http
from tests.harness.chart import DEPENDENCIES, README, VALUES, shop
from tests.harness.images import OCI_MANIFEST, Image, digest_of, image, index
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.workspace import GUEST, LIMITED_GUEST, Login, Management, Workspace

pytestmark = pytest.mark.usefixtures("no_errors_logged")

CHART = shop()


@pytest.fixture(scope="module")
def project(workspace: Workspace, management: Management) -> str:
    """A private project with a chart, an image and an index."""
    project = management.create_project()
    push(workspace.http_url, management.admin, f"{project}/charts/shop", CHART, "1.2.3")
    push(workspace.http_url, management.admin, f"{project}/app", index([image(61)]), "v1")
    return project


@pytest.fixture
def api(workspace: Workspace) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=workspace.http_url, timeout=60, verify=NO_TLS, trust_env=False) as client:
        yield client


def artifact(project: str, repository: str, reference: str) -> str:
    return f"/api/v2.0/projects/{project}/repositories/{repository}/artifacts/{reference}"


def test_the_links_of_a_chart_lead_to_its_additions(api: httpx.Client, management: Management, project: str) -> None:
    api.auth = management.admin.basic
    links = api.get(artifact(project, "charts%252Fshop", "1.2.3")).json()["addition_links"]
    assert set(links) == {"values.yaml", "readme.md", "dependencies"}
    assert api.get(artifact(project, "charts%252Fshop", CHART.digest)).json()["addition_links"] == links
    [listed] = api.get(artifact(project, "charts%252Fshop", "").rstrip("/")).json()
    assert listed["addition_links"] == links
    assert all(link["absolute"] is False for link in links.values())
    answers = {name: api.get(link["href"]) for name, link in links.items()}
    assert {name: answer.headers["Content-Type"] for name, answer in answers.items()} == {
        "values.yaml": "text/plain; charset=utf-8",
        "readme.md": "text/markdown; charset=utf-8",
        "dependencies": "application/json; charset=utf-8",
    }
    # A README is what anybody has written: browsers must not take it for a page.
    assert {answer.headers["X-Content-Type-Options"] for answer in answers.values()} == {"nosniff"}
    assert answers["readme.md"].content == README
    assert answers["values.yaml"].content == VALUES
    assert answers["dependencies"].json() == DEPENDENCIES


def test_an_image_shows_how_it_was_built_and_an_index_has_no_additions(
    api: httpx.Client, management: Management, project: str
) -> None:
    api.auth = management.admin.basic
    child = image(61)
    found = api.get(artifact(project, "app", child.digest)).json()["addition_links"]
    answer = api.get(found["build_history"]["href"])
    config = json.loads(child.blobs[child.config["digest"]])
    assert answer.json() == config.get("history", [])
    assert api.get(artifact(project, "app", "v1")).json()["addition_links"] == {}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("app/v1/build_history", 400, "BAD_REQUEST"),
        ("app/{image}/readme.md", 400, "BAD_REQUEST"),
        ("app/{image}/vulnerabilities", 404, "NOT_FOUND"),
        ("app/{image}/x%252F..", 404, "NOT_FOUND"),
        ("app/v2/build_history", 404, "NOT_FOUND"),
        ("absent/v1/build_history", 404, "NOT_FOUND"),
    ],
)
def test_what_is_no_addition_is_refused(
    api: httpx.Client, management: Management, project: str, path: str, status: int, code: str
) -> None:
    api.auth = management.admin.basic
    repository, reference, name = path.format(image=image(61).digest).split("/")
    answer = api.get(f"{artifact(project, repository, reference)}/additions/{name}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


def chart_of(layer: bytes) -> Image:
    config = b'{"name":"odd"}'
    parts = {digest_of(part): part for part in (config, layer)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.cncf.helm.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                "digest": digest_of(layer),
                "size": len(layer),
            }
        ],
    }
    return Image(OCI_MANIFEST, json.dumps(document).encode(), parts)


def bomb() -> bytes:
    """An archive of some 200 KiB that expands to 200 MiB."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("odd/zeros")
        member.size = 200 * 1024 * 1024
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return gzip.compress(buffer.getvalue(), mtime=0)


@pytest.mark.parametrize("layer", [b"no archive", bomb()], ids=["damaged", "bomb"])
def test_an_archive_that_cannot_be_read_is_told(
    api: httpx.Client, workspace: Workspace, management: Management, layer: bytes
) -> None:
    project = management.create_project()
    push(workspace.http_url, management.admin, f"{project}/odd", chart_of(layer), "v1")
    api.auth = management.admin.basic
    answer = api.get(f"{artifact(project, 'odd', 'v1')}/additions/readme.md")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (412, "PRECONDITION")


def test_whoever_may_read_additions_sees_them(workspace: Workspace, management: Management, project: str) -> None:
    path = f"{artifact(project, 'charts%252Fshop', '1.2.3')}/additions/readme.md"

    def status(login: Login | None) -> int:
        auth = None if login is None else login.basic
        return plain_http.get(f"{workspace.http_url}{path}", auth=auth).status_code

    assert status(None) == 401
    assert status(management.create_user()) == 404
    for role in (GUEST, LIMITED_GUEST):
        member = management.create_user()
        management.add_member(project, member, role)
        assert status(member) == 200
    assert status(management.create_robot(project, [{"resource": "artifact", "action": "read"}])) == 403
    assert status(management.create_robot(project, [{"resource": "artifact-addition", "action": "read"}])) == 200
