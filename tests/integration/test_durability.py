"""What was answered with 2xx is still there after the services and their supervisor are all killed at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.harness.images import OCI_MANIFEST, Image, image
from tests.harness.installation import PLACEMENTS, Installation, StartInstallation
from tests.harness.meta_rows import MetaRows
from tests.harness.plain_http import NO_TLS
from tests.harness.pushed import Stored

REPOSITORY = "library/kept"
TAG = "v1"


class Pusher:
    """Pushes over HTTP as containerd does, and pulls."""

    def __init__(self, client: httpx.Client) -> None:
        """Takes a client that has a token."""
        self.client = client

    def push(self, pushed: Image) -> None:
        for digest, content in pushed.blobs.items():
            location = self.client.post(f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
            put = self.client.put(httpx.URL(location).copy_add_param("digest", digest), content=content)
            assert put.status_code == 201, put.text
        headers = {"Content-Type": pushed.media_type}
        put = self.client.put(f"/v2/{REPOSITORY}/manifests/{TAG}", content=pushed.manifest, headers=headers)
        assert put.status_code == 201, put.text

    def check(self, pushed: Image) -> None:
        """Fails unless everything is served."""
        headers = {"Accept": OCI_MANIFEST}
        for reference in (TAG, pushed.digest):
            answer = self.client.get(f"/v2/{REPOSITORY}/manifests/{reference}", headers=headers)
            assert (answer.status_code, answer.content) == (200, pushed.manifest)
            assert answer.headers["Docker-Content-Digest"] == pushed.digest
        for digest, content in pushed.blobs.items():
            blob = self.client.get(f"/v2/{REPOSITORY}/blobs/{digest}")
            assert (blob.status_code, blob.content) == (200, content)
        assert self.client.get(f"/v2/{REPOSITORY}/tags/list").json()["tags"] == [TAG]


@contextmanager
def pusher_of(installation: Installation) -> Iterator[Pusher]:
    """A client with a token, with connections of its own."""
    with httpx.Client(base_url=installation.http_url, timeout=60, trust_env=False, verify=NO_TLS) as client:
        answer = client.get(
            "/service/token",
            params={"service": "harbor-registry", "scope": f"repository:{REPOSITORY}:pull,push"},
            auth=("admin", installation.admin_password),
        )
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['token']}"
        yield Pusher(client)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_push_that_was_answered_survives_the_death_of_everything(
    start_installation: StartInstallation, request: pytest.FixtureRequest, database: str
) -> None:
    is_postgresql = database == "postgresql"
    installation = start_installation(
        database="postgresql" if is_postgresql else "sqlite",
        environment=PLACEMENTS["stream" if is_postgresql else "file"],
    )
    pushed = image(3201, layers=3, layer_bytes=700_000)

    with pusher_of(installation) as pusher:
        pusher.push(pushed)
        for pid in installation.pids().values():
            os.kill(pid, signal.SIGKILL)
        installation.kill_supervisor()
    installation.start()

    with pusher_of(installation) as again:
        again.check(pushed)
    url = (
        str(request.getfixturevalue("postgres_database"))
        if database == "postgresql"
        else f"sqlite:///{installation.data_dir}/metasvc/meta.db"
    )
    Stored(MetaRows(url), installation.data_dir).check_once(REPOSITORY, pushed, TAG)
