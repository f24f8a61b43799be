"""Copies of artifacts over HTTP: what `from` may be, where Location leads, and that the copy can be pulled."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.harness.images import Image, image, index
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.workspace import Management, Workspace

pytestmark = pytest.mark.usefixtures("no_errors_logged")

PUSHED = index([image(41), image(42, architecture="arm64")])


@pytest.fixture
def api(workspace: Workspace, management: Management) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=workspace.http_url, auth=management.admin.basic, timeout=60, verify=NO_TLS, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="module")
def source(workspace: Workspace, management: Management) -> str:
    """A repository with an index under a tag."""
    repository = f"{management.create_project()}/deep/app"
    push(workspace.http_url, management.admin, repository, PUSHED, "v1")
    return repository


def copies(project: str, name: str) -> str:
    return f"/api/v2.0/projects/{project}/repositories/{quote(quote(name, safe=''), safe='')}/artifacts"


def pulled(workspace: Workspace, management: Management, repository: str, wanted: Image) -> None:
    """Pulls everything, as a client does."""
    with httpx.Client(base_url=workspace.http_url, timeout=60, verify=NO_TLS, trust_env=False) as client:
        scope = f"repository:{repository}:pull"
        token = client.get("/service/token", params={"scope": scope}, auth=management.admin.basic).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for each in (wanted, *wanted.children):
            assert client.get(f"/v2/{repository}/manifests/{each.digest}").content == each.manifest
        for digest, content in wanted.blobs.items():
            assert client.get(f"/v2/{repository}/blobs/{digest}").content == content


def test_a_copy_is_pulled_from_where_location_says(
    api: httpx.Client, workspace: Workspace, management: Management, source: str
) -> None:
    target = management.create_project()
    answer = api.post(copies(target, "a/b"), params={"from": f"{source}:v1"})
    assert (answer.status_code, answer.content) == (201, b"")
    copied = api.get(answer.headers["Location"])
    assert (copied.status_code, copied.json()["digest"]) == (200, PUSHED.digest)
    assert [tag["name"] for tag in copied.json()["tags"]] == ["v1"]
    pulled(workspace, management, f"{target}/a/b", PUSHED)
    # The copy is no reference: it stays without its source.
    project, _, name = source.partition("/")
    once_more = api.post(copies(target, "c"), params={"from": f"{source}@{PUSHED.digest}"})
    assert once_more.headers["Location"].endswith(f"/{PUSHED.digest}")
    gone = management.create_project()
    api.post(copies(gone, "x"), params={"from": f"{source}:v1"}).raise_for_status()
    assert api.delete(copies(gone, "x").removesuffix("/artifacts")).status_code == 200
    pulled(workspace, management, f"{target}/c", PUSHED)
    assert api.get(f"{copies(project, name)}/v1").status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "app",
        "{source}",
        "{source}:",
        "{source}@",
        "{source}@v1",
        "{source}:v1:v2",
        "{source}:-v1",
        "{source}@sha256:abc",
        "{source}@md5:d41d8cd98f00b204e9800998ecf8427e",
        "{source}:v 1@sha256:" + "0" * 64,
        "app:v1",
        "/app:v1",
        "host:5000/{source}:v1",
        "https://host/{source}:v1",
        "UPPER/{source}:v1",
        "{source}:v1\0",
        "{source}:" + "v" * 600,
    ],
)
def test_a_source_that_names_no_artifact_is_a_bad_request(
    api: httpx.Client, management: Management, source: str, given: str
) -> None:
    target = management.create_project()
    answer = api.post(copies(target, "app"), params={"from": given.format(source=source)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "BAD_REQUEST")
    assert api.get(f"/api/v2.0/projects/{target}/repositories").json() == []


def test_a_missing_source_is_a_bad_request_and_an_absent_one_not_found(
    api: httpx.Client, management: Management, source: str
) -> None:
    target = management.create_project()
    assert api.post(copies(target, "app")).status_code == 400
    for absent in (f"{source}:v2", f"{source}@sha256:{'0' * 64}", f"{source}x:v1", f"absent{source}:v1"):
        answer = api.post(copies(target, "app"), params={"from": absent})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NOT_FOUND"), absent
    assert api.post(copies("absent", "app"), params={"from": f"{source}:v1"}).status_code == 404


def test_a_full_project_refuses_a_copy_as_it_refuses_a_push(
    api: httpx.Client, management: Management, source: str
) -> None:
    small = management.create_project(storage_limit=100)
    answer = api.post(copies(small, "app"), params={"from": f"{source}:v1"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "DENIED")
