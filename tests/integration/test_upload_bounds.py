"""What uploads hold before they are in a quota is bounded, and comes back by itself: over HTTP, with real services."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.installation import Installation, running_installation
from tests.harness.repository import closing
from tests.harness.waiting import wait_until
from tests.harness.workspace import Management

MIB = 1024 * 1024
SUBJECT_BYTES = 8 * MIB
BOUNDS = {
    "ROADSTEAD_BLOBSVC_UNLINKED_BYTES_PER_PROJECT": str(16 * MIB),
    "ROADSTEAD_BLOBSVC_UNLINKED_BYTES_PER_SUBJECT": str(SUBJECT_BYTES),
    "ROADSTEAD_BLOBSVC_OPEN_UPLOADS_PER_SUBJECT": "5",
}


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    data_dir: Path = tmp_path_factory.mktemp("bounded") / "data"
    with running_installation(data_dir, environment=BOUNDS) as running:
        yield running


@pytest.fixture
def client(bounded: Installation) -> Iterator[httpx.Client]:
    """The administrator."""
    auth = ("admin", bounded.admin_password)
    with httpx.Client(base_url=bounded.http_url, auth=auth, timeout=30, trust_env=False) as client:
        yield client


def begin(client: httpx.Client, repository: str) -> str:
    begun = client.post(f"/v2/{repository}/blobs/uploads/")
    assert begun.status_code == 202, begun.text
    location: str = begun.headers["Location"]
    return location


def chunks(size: int) -> Iterator[bytes]:
    """A body that does not say its size."""
    for _ in range(size // MIB):
        yield b"x" * MIB


def held_bytes(bounded: Installation) -> int:
    """What lies on the disk, in uploads and as blobs."""
    root = bounded.data_dir / "blobsvc"
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def denial(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    [error] = answer.json()["errors"]
    assert error["code"] == "DENIED"
    message: str = error["message"]
    return message


def test_more_bytes_than_the_bound_are_refused_while_they_come(client: httpx.Client, bounded: Installation) -> None:
    location = begin(client, "library/bounded")
    assert client.patch(location, content=chunks(6 * MIB)).status_code == 202
    second = begin(client, "library/bounded")
    assert "hold 6291456 bytes" in denial(client.patch(second, content=b"x" * 3 * MIB))
    # docker does not say the size.
    assert client.patch(second, content=chunks(2 * MIB)).status_code == 202
    assert "subject" in denial(client.post("/v2/library/bounded/blobs/uploads/"))
    assert held_bytes(bounded) < SUBJECT_BYTES + MIB
    for each in (location, second):
        assert client.delete(each).status_code == 204
    assert client.delete(begin(client, "library/bounded")).status_code == 204
    assert held_bytes(bounded) < MIB


def test_no_more_uploads_are_open_than_may_be(client: httpx.Client) -> None:
    locations = [begin(client, "library/open") for _ in range(5)]
    assert "5 uploads are open" in denial(client.post("/v2/library/open/blobs/uploads/"))
    for location in locations:
        assert client.delete(location).status_code == 204
    client.delete(begin(client, "library/open"))


def test_pushes_that_are_linked_or_refused_take_no_room_for_long(client: httpx.Client, bounded: Installation) -> None:
    management = Management.of(bounded)
    small = management.create_project(storage_limit=5 * MIB)
    management.close()
    contents = [bytes([number]) * 4 * MIB for number in range(10)]
    statuses = []
    for content in contents:
        # Without settling, the third would exceed the bound of the subject.
        wait_until(
            lambda: client.post(f"/v2/{small}/app/blobs/uploads/"),
            "room for the next upload",
            wanted=lambda answer: answer.status_code == 202 and client.delete(answer.headers["Location"]).is_success,
        )
        location = begin(client, f"{small}/app")
        assert client.patch(location, content=chunks_of(content)).status_code == 202
        statuses.append(client.put(closing(location, digest_of(content))).status_code)
    assert statuses == [201] + [403] * 9
    wait_until(lambda: held_bytes(bounded), "refused bytes to be deleted", wanted=lambda size: size < 5 * MIB)


def test_an_upload_larger_than_the_whole_quota_leaves_no_byte(client: httpx.Client, bounded: Installation) -> None:
    management = Management.of(bounded)
    small = management.create_project(storage_limit=MIB)
    management.close()
    before = held_bytes(bounded)
    content = b"x" * 2 * MIB
    location = begin(client, f"{small}/app")
    for answer in (
        client.patch(location, content=content),
        client.put(closing(location, digest_of(content)), content=content),
        client.post(f"/v2/{small}/app/blobs/uploads/", params={"digest": digest_of(content)}, content=content),
    ):
        assert "the whole storage quota of the project is 1048576 bytes" in denial(answer)
    assert held_bytes(bounded) - before < 10_000
    assert client.delete(location).status_code == 204


def chunks_of(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), MIB):
        yield content[start : start + MIB]
