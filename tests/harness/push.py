"""Pushes an image by plain requests, for tests that need a pushed image and no client program."""

from urllib.parse import urljoin

import httpx

from tests.harness.images import Image
from tests.harness.plain_http import NO_TLS
from tests.harness.workspace import Login


def push(http_url: str, login: Login, repository: str, pushed: Image, *tags: str) -> str:
    """Pushes an image, or an index with its images, under these tags; without tags, by digest. Returns its digest."""
    scope = f"repository:{repository}:pull,push"
    with httpx.Client(base_url=http_url, timeout=30, trust_env=False, verify=NO_TLS) as client:
        answer = client.get("/service/token", params={"scope": scope}, auth=login.basic)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        for digest, content in pushed.blobs.items():
            started = client.post(f"/v2/{repository}/blobs/uploads/")
            assert started.status_code == 202, started.text
            location = httpx.URL(urljoin(str(started.url), started.headers["Location"]))
            finished = client.put(location.copy_add_param("digest", digest), content=content)
            assert finished.status_code == 201, finished.text
        for child in pushed.children:
            _put(client, repository, child, child.digest)
        for reference in tags or (pushed.digest,):
            _put(client, repository, pushed, reference)
    return pushed.digest


def _put(client: httpx.Client, repository: str, pushed: Image, reference: str) -> None:
    headers = {"Content-Type": pushed.media_type}
    answer = client.put(f"/v2/{repository}/manifests/{reference}", content=pushed.manifest, headers=headers)
    assert answer.status_code == 201, answer.text
