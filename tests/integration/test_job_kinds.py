"""The kinds of the product do their work in a running installation."""

import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness.images import image
from tests.harness.installation import Installation, running_installation
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

DAYS = 24 * 3600


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose metasvc keeps only one change when its log is compacted."""
    variables = {"ROADSTEAD_METASVC_CHANGES__MOST_CHANGES": "1"}
    with running_installation(tmp_path_factory.mktemp("kinds") / "data", environment=variables, grpc=False) as running:
        yield running


@pytest.fixture
def http(installation: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=installation.http_url,
        auth=("admin", installation.admin_password),
        timeout=60,
        trust_env=False,
        verify=NO_TLS,
    ) as client:
        yield client


def run(http: httpx.Client, kind: str, **parameters: object) -> tuple[dict[str, Any], str]:
    """Runs a job to its end. Returns its execution and its log."""
    answer = http.post("/api/v2.0/executions", json={"vendor_type": kind, "parameters": parameters})
    assert answer.status_code == 201, answer.text
    where = answer.headers["Location"]

    def look() -> dict[str, Any] | None:
        execution: dict[str, Any] = http.get(where).raise_for_status().json()
        return None if execution["status"] == "Running" else execution

    execution = wait_until(look, f"the end of {kind}")
    assert execution is not None
    [task] = http.get(f"{where}/tasks").raise_for_status().json()
    return execution, http.get(f"/api/v2.0/tasks/{task['id']}/log").raise_for_status().text


def test_an_abandoned_upload_is_ended_and_one_in_use_stays(http: httpx.Client, installation: Installation) -> None:
    scope = {"scope": "repository:library/app:pull,push"}
    token = http.get("/service/token", params=scope).raise_for_status().json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    uploads: list[str] = []
    for _ in range(2):
        started = http.post("/v2/library/app/blobs/uploads/", headers=headers)
        sent = http.patch(started.headers["Location"], headers=headers, content=b"some bytes")
        assert sent.status_code == 202, sent.text
        uploads.append(sent.headers["Location"])
    old = time.time() - 2 * DAYS
    # The session of the first upload, whose name only blobsvc knows.
    first, _ = sorted(installation.data_dir.glob("*/uploads/*/data"), key=lambda data: data.stat().st_mtime_ns)
    os.utime(first, (old, old))

    planned, _ = run(http, "UPLOAD_PURGE", dry_run=True)
    assert planned["extra_attrs"] == {"dry_run": True, "purged_uploads": 1, "freed_space": 10}
    purged, log = run(http, "UPLOAD_PURGE")
    assert (purged["status"], purged["extra_attrs"]["purged_uploads"]) == ("Success", 1)
    assert "is deleted, 10 bytes" in log
    assert "by user:1 for library/app." in log
    statuses = [http.get(upload, headers=headers).status_code for upload in uploads]
    assert sorted(statuses) == [204, 404]


def test_the_change_log_is_compacted(http: httpx.Client, installation: Installation) -> None:
    login = Login("admin", installation.admin_password)
    for number in range(3):
        push(installation.http_url, login, "library/app", image(number), f"v{number}")
    compacted, log = run(http, "CHANGE_LOG_COMPACTION")
    assert compacted["status"] == "Success"
    assert compacted["extra_attrs"]["deleted_changes"]["metasvc"] >= 2
    assert "Change log of metasvc: deleted changes: " in log
    assert "Change log of authsvc: deleted changes: 0" in log


def test_a_recount_finds_nothing_wrong_after_pushes(http: httpx.Client, installation: Installation) -> None:
    push(installation.http_url, Login("admin", installation.admin_password), "library/app", image(9), "v9")
    counted, log = run(http, "QUOTA_RECOUNT")
    assert counted["extra_attrs"]["counted_digests"] >= 3
    assert (counted["extra_attrs"]["corrected_digests"], counted["extra_attrs"]["corrected_projects"]) == (0, 0)
    assert "WARNING" not in log
    failed, log = run(http, "QUOTA_RECOUNT", project_id=987654)
    assert (failed["status"], "there is no project 987654 with a quota" in log) == ("Error", True)
