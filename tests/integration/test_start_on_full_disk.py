"""A disk without a byte left: an installation on it starts again, and one that cannot start says why."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plain_http
from tests.harness.images import OCI_MANIFEST, image
from tests.harness.installation import PLACEMENTS, Installation, running_installation
from tests.harness.push import push
from tests.harness.small_disk import SmallDisk, small_disk
from tests.harness.up_process import START_SECONDS
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

MEBIBYTE = 1024 * 1024
# Less than the disk has, or it would count as full from the beginning.
KEEPERS = ("AUTHSVC", "METASVC", "BLOBSVC", "JOBSVC")
RESERVED = {f"ROADSTEAD_{service}_RESERVED_BYTES": str(4 * MEBIBYTE) for service in KEEPERS}
STORED = image(1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 48 * MEBIBYTE) as disk:
        yield disk


def assert_pulls(installation: Installation) -> None:
    auth = ("admin", installation.admin_password)
    answer = plain_http.get(
        f"{installation.http_url}/v2/library/stored/manifests/v1", headers={"Accept": OCI_MANIFEST}, auth=auth
    )
    assert (answer.status_code, answer.content) == (200, STORED.manifest)


def wait_for_full_services(installation: Installation, count: int) -> None:
    """Waits until so many services say that the disk is full. Each looks for itself, once a second."""
    wait_until(
        lambda: plain_http.get(f"{installation.http_url}/readyz").text,
        f"a full disk of {count} services",
        wanted=lambda text: text.count("disk full") == count,
    )


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_it_starts_again_serves_pulls_and_recovers(disk: SmallDisk, end: str) -> None:
    with running_installation(disk.folder / "data", environment=RESERVED) as running:
        push(running.http_url, Login("admin", running.admin_password), "library/stored", STORED, "v1")
        # Twice: the first start must leave for the second one what it needs itself.
        for _ in range(2):
            disk.fill()
            if end == "killed":
                running.kill_supervisor()
            else:
                running.stop()
            # The end gives some space back, and another program takes it.
            disk.fill()
            running.start()
            assert_pulls(running)

        ready = plain_http.get(f"{running.http_url}/readyz")
        assert ready.status_code == 200
        assert "blobsvc: degraded (disk full)" in ready.text.splitlines()
        disk.empty()
        running.restart()
        push(running.http_url, Login("admin", running.admin_password), "library/stored", image(2), "v2")


# A file that is read as a file is not hashed, so a flipped byte is found over the stream only.
@pytest.mark.parametrize(("placement", "damage"), [("file", "truncated"), ("stream", "flipped")])
def test_damaged_blobs_are_unknown_while_nothing_can_be_written_and_are_healed_afterwards(
    disk: SmallDisk, placement: str, damage: str
) -> None:
    digests = list(STORED.blobs)[:2]
    with running_installation(disk.folder / "data", environment={**RESERVED, **PLACEMENTS[placement]}) as running:
        login = Login("admin", running.admin_password)
        push(running.http_url, login, "library/stored", STORED, "v1")
        disk.fill()
        lost, damaged = (next((disk.folder / "data/blobsvc/blobs").rglob(f"{each[7:]}/*")) for each in digests)
        lost.unlink()
        with damaged.open("r+b") as file:
            if damage == "flipped":
                file.write(bytes([STORED.blobs[digests[1]][0] ^ 1]))
            else:
                file.truncate(len(STORED.blobs[digests[1]]) - 1)
        disk.fill()
        wait_for_full_services(running, len(KEEPERS))

        def answer(method: str, digest: str) -> int:
            url = f"{running.http_url}/v2/library/stored/blobs/{digest}"
            return plain_http.request(method, url, auth=login.basic).status_code

        # Twice: what could not be written down is found again.
        for _ in range(2):
            assert [answer(method, digests[0]) for method in ("HEAD", "GET")] == [404, 404]
            assert answer("GET", digests[1]) == 404

        disk.empty()
        assert [answer("GET", digest) for digest in digests] == [404, 404]
        # One finding for each, now that it can be written down. Lines of the log come a moment later.
        wait_until(lambda: running.log().count("blob_quarantined"), "both findings", wanted=lambda count: count >= 2)
        assert running.log().count("blob_quarantined") == 2
        wait_for_full_services(running, 0)
        push(running.http_url, login, "library/stored", STORED, "v1")
        assert [answer("GET", digest) for digest in digests] == [200, 200]


def test_a_first_start_without_space_ends_with_a_sentence(disk: SmallDisk) -> None:
    disk.fill()

    refused = subprocess.run(
        [sys.executable, "-P", "-m", "ctl", "up", "--data-dir", str(disk.folder / "data"), "--http", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )

    assert refused.returncode == 1
    assert "No space left on device" in refused.stderr
    assert str(disk.folder / "data") in refused.stderr
    assert "Traceback" not in refused.stderr
