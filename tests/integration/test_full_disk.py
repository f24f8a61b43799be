"""With less free space than is reserved, pushes are refused, and everything else works."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.images import OCI_MANIFEST, Image, image
from tests.harness.installation import Installation, running_installation
from tests.harness.push import push
from tests.harness.workspace import Login

STORED = image(1)
# More than any disk has, so that it counts as full.
RESERVED = {"ROADSTEAD_BLOBSVC_RESERVED_BYTES": str(2**62), "ROADSTEAD_METASVC_RESERVED_BYTES": str(2**62)}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that took one image before its disk was full."""
    data_dir: Path = tmp_path_factory.mktemp("full") / "data"
    with running_installation(data_dir) as roomy:
        push(roomy.http_url, Login("admin", roomy.admin_password), "library/stored", STORED, "v1", "v2")
    with running_installation(data_dir, environment=RESERVED) as running:
        yield running


@pytest.fixture
def client(full: Installation) -> Iterator[httpx.Client]:
    auth = ("admin", full.admin_password)
    with httpx.Client(base_url=full.http_url, auth=auth, timeout=30, trust_env=False) as client:
        yield client


def put_manifest(client: httpx.Client, pushed: Image, tag: str) -> httpx.Response:
    headers = {"Content-Type": pushed.media_type}
    return client.put(f"/v2/library/stored/manifests/{tag}", content=pushed.manifest, headers=headers)


def test_it_is_ready_and_says_that_it_is_degraded(client: httpx.Client) -> None:
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert set(ready.text.splitlines()) == {
        "blobsvc: degraded (disk full)",
        "metasvc: degraded (disk full)",
        "authsvc: serving",
        "jobsvc: serving",
    }
    health = client.get("/api/v2.0/health").json()
    assert health["status"] == "healthy"
    assert {"name": "blobsvc", "status": "healthy", "error": "degraded (disk full)"} in health["components"]


def test_a_push_hears_507_with_the_reason_and_when_to_come_again(client: httpx.Client) -> None:
    for answer in (client.post("/v2/library/stored/blobs/uploads/"), put_manifest(client, STORED, "v3")):
        assert answer.status_code == 507
        assert answer.headers["Retry-After"] == "60"
        assert [error["code"] for error in answer.json()["errors"]] == ["STORAGE_FULL"]
        assert "disk is full" in answer.json()["errors"][0]["message"]


def test_pulls_and_deletes_go_on(client: httpx.Client) -> None:
    manifest = client.get("/v2/library/stored/manifests/v1", headers={"Accept": OCI_MANIFEST})
    assert (manifest.status_code, manifest.content) == (200, STORED.manifest)
    for digest, content in STORED.blobs.items():
        assert client.get(f"/v2/library/stored/blobs/{digest}").content == content
    assert client.delete("/v2/library/stored/manifests/v2").status_code == 202
    assert client.head("/v2/library/stored/manifests/v2").status_code == 404
