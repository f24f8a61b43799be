"""Damaged blobs over HTTP: each kind of damage, whoever finds it, and the push that heals it."""

import hashlib
import json
import random
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.installation import PLACEMENTS, Installation, running_installation
from tests.harness.plain_http import NO_TLS
from tests.harness.repository import EMPTY_CONFIG, Repository, descriptor, dumped, open_repository
from tests.harness.waiting import wait_until
from tests.harness.workspace import Management

LAYER_BYTES = 2_500_000
_random = random.Random(11)


@pytest.fixture(scope="module", params=["file"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose blobs this module damages. The parameter says which way the bytes take."""
    data_dir = tmp_path_factory.mktemp("healing") / "data"
    with running_installation(data_dir, environment=PLACEMENTS[request.param]) as installation:
        yield installation


@pytest.fixture(scope="module")
def management(running: Installation) -> Iterator[Management]:
    management = Management.of(running)
    yield management
    management.close()


@dataclass
class Scene:
    """An image with one layer in a repository, whose file is going to be damaged."""

    running: Installation
    management: Management
    repository: Repository
    layer: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.layer)

    @property
    def store(self) -> Path:
        return self.running.data_dir / "blobsvc"

    @property
    def files(self) -> list[Path]:
        """The files of all generations of the layer."""
        digits = self.digest.partition(":")[2]
        return sorted((self.store / "blobs" / "sha256" / digits[:2] / digits).glob("*"))

    def other(self, project: str = "") -> Repository:
        """Another repository, in the same project or in another one."""
        name = f"{project or self.repository.name.partition('/')[0]}/{secrets.token_hex(4)}"
        return repository_of(self.running, self.management, name)

    @property
    def quarantines(self) -> list[tuple[str, str]]:
        """How metasvc has quarantined the layer: the damage, and what has found it."""
        lines = self.running.log_file.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{") and self.digest in line]
        return [(entry["damage"], entry["found_by"]) for entry in entries if entry.get("event") == "blob_quarantined"]

    def check_quarantined(self, damage: str, found_by: str) -> None:
        # The line may be on its way into the log.
        wait_until(lambda: self.quarantines, "the line in the log")
        assert self.quarantines == [(damage, found_by)]

    def check_healed(self, repository: Repository | None = None) -> None:
        """A push of the same image ends in an image that can be pulled."""
        target = repository or self.repository
        target.push_blob(self.layer)
        target.push_blob(EMPTY_CONFIG)
        assert target.put("v1", self.manifest).status_code == 201
        assert target.blob(self.digest).content == self.layer
        assert self.repository.blob(self.digest).content == self.layer


def repository_of(running: Installation, management: Management, name: str) -> Repository:
    opened = open_repository(running.http_url, management.admin, name, ())
    repository = opened.__enter__()
    OPEN.append(opened)
    return repository


OPEN: list[object] = []


@pytest.fixture
def scene(running: Installation, management: Management) -> Iterator[Scene]:
    project = management.create_project()
    repository = repository_of(running, management, f"{project}/{secrets.token_hex(4)}")
    layer = _random.randbytes(LAYER_BYTES)
    repository.push_blob(EMPTY_CONFIG)
    repository.push_blob(layer)
    manifest = dumped(repository.manifest(layers=[descriptor(layer, "application/vnd.oci.image.layer.v1.tar")]))
    assert repository.put("v1", manifest).status_code == 201
    yield Scene(running, management, repository, layer, manifest)
    while OPEN:
        OPEN.pop().__exit__(None, None, None)  # type: ignore[attr-defined]


def gone(file: Path) -> None:
    file.unlink()


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def grown(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"x")


SEEN_BY_STAT = ((gone, "missing"), (truncated, "size"), (grown, "size"))
# A file that is read as a file is not hashed.
BY_READ = [
    *(("file", *each) for each in SEEN_BY_STAT),
    *(("stream", *each) for each in (*SEEN_BY_STAT, (flipped, "digest"))),
]
on_every_damage = pytest.mark.parametrize(("running", "hurt", "damage"), BY_READ, indirect=["running"])
on_both_ways = pytest.mark.parametrize("running", PLACEMENTS, indirect=True)
on_what_stat_sees = pytest.mark.parametrize(("hurt", "damage"), SEEN_BY_STAT)
Hurt = Callable[[Path], None]


@on_every_damage
def test_a_read_finds_it_and_the_next_push_heals_it(scene: Scene, hurt: Hurt, damage: str) -> None:
    hurt(scene.files[0])

    if damage == "digest":
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            scene.repository.blob(scene.digest)
    else:
        assert scene.repository.blob(scene.digest).status_code == 404
    assert scene.repository.http.head(f"{scene.repository.path}/blobs/{scene.digest}").status_code == 404
    scene.check_quarantined(damage, "read")

    scene.check_healed()


@on_what_stat_sees
def test_head_finds_it(scene: Scene, hurt: Hurt, damage: str) -> None:
    hurt(scene.files[0])
    assert scene.repository.http.head(f"{scene.repository.path}/blobs/{scene.digest}").status_code == 404
    scene.check_quarantined(damage, "read")
    scene.check_healed()


@on_what_stat_sees
@pytest.mark.parametrize("before", ["GET", "HEAD"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_gateway_finds_it_that_has_read_the_file_before(
    scene: Scene, hurt: Hurt, damage: str, before: str, method: str
) -> None:
    path = f"{scene.repository.path}/blobs/{scene.digest}"
    for _ in range(2):
        assert scene.repository.http.request(before, path).status_code == 200
    hurt(scene.files[0])
    assert scene.repository.http.request(method, path).status_code == 404
    scene.check_quarantined(damage, "read")
    scene.check_healed()
    assert scene.repository.http.request(method, path).status_code == 200


def test_a_file_that_was_put_back_from_a_backup_is_served(scene: Scene) -> None:
    path = f"{scene.repository.path}/blobs/{scene.digest}"
    assert scene.repository.http.head(path).status_code == 200
    [file] = scene.files
    # The inode of the old file stays taken, so the new one gets another.
    file.rename(file.parent.parent / "old")
    file.write_bytes(scene.layer)
    for _ in range(2):
        assert scene.repository.http.head(path).status_code == 200
        assert scene.repository.blob(scene.digest).content == scene.layer
    assert scene.quarantines == []
    (file.parent.parent / "old").unlink()


def test_a_blob_that_was_unlinked_is_gone_at_once(scene: Scene) -> None:
    content = secrets.token_bytes(1000)
    digest = scene.repository.push_blob(content)
    path = f"{scene.repository.path}/blobs/{digest}"
    for _ in range(2):
        assert scene.repository.http.head(path).status_code == 200
    assert scene.repository.http.delete(path).status_code == 202
    assert [scene.repository.http.request(method, path).status_code for method in ("HEAD", "GET")] == [404, 404]


@on_both_ways
@on_what_stat_sees
def test_a_range_finds_it(scene: Scene, hurt: Hurt, damage: str) -> None:
    hurt(scene.files[0])
    for asked in ("bytes=0-9", f"bytes={LAYER_BYTES - 10}-", "bytes=0-9,100-200"):
        assert scene.repository.blob(scene.digest, Range=asked).status_code == 404
    scene.check_healed()


@on_what_stat_sees
@pytest.mark.parametrize("foreign", [False, True], ids=["in the project", "from another project"])
def test_a_mount_finds_it_and_the_bytes_are_uploaded_instead(
    scene: Scene, hurt: Hurt, damage: str, foreign: bool
) -> None:
    hurt(scene.files[0])
    target = scene.other(scene.management.create_project() if foreign else "")
    answer = target.http.post(
        f"{target.path}/blobs/uploads/",
        params={"mount": scene.digest, "from": scene.repository.name},
        auth=scene.management.admin.basic,
    )
    assert answer.status_code == 202
    assert scene.repository.http.head(f"{scene.repository.path}/blobs/{scene.digest}").status_code == 404
    scene.check_quarantined(damage, "mount")
    scene.check_healed(target)


@on_what_stat_sees
@pytest.mark.parametrize("tag", ["v1", "v2"], ids=["the same tag", "another tag"])
def test_a_manifest_put_finds_it(scene: Scene, hurt: Hurt, damage: str, tag: str) -> None:
    hurt(scene.files[0])
    answer = scene.repository.put(tag, scene.manifest)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert scene.digest in answer.text
    scene.check_quarantined(damage, "manifest")
    scene.check_healed()


@on_what_stat_sees
@pytest.mark.parametrize("where", ["here", "beside", "elsewhere", "after a delete"])
def test_the_next_push_finds_it(scene: Scene, hurt: Hurt, damage: str, where: str) -> None:
    hurt(scene.files[0])
    if where == "after a delete":
        assert (
            scene.repository.http.delete(f"{scene.repository.path}/manifests/{digest_of(scene.manifest)}").status_code
            == 202
        )
        scene.repository.http.delete(f"{scene.repository.path}/blobs/{scene.digest}")
        scene.repository.push_blob(scene.layer)
    target = {
        "beside": scene.other,
        "elsewhere": lambda: scene.other(scene.management.create_project()),
    }.get(where, lambda: scene.repository)()
    scene.check_healed(target)
    scene.check_quarantined(damage, "link")


def test_a_config_whose_byte_is_flipped_is_found_by_the_manifest_that_needs_it(scene: Scene) -> None:
    config = json.dumps({"architecture": "amd64", "os": "linux", "x": secrets.token_hex(8)}).encode()
    repository, digest = scene.repository, digest_of(config)
    # In two parts, so that the gateway does not hold it as a whole and metasvc reads it.
    location = repository.begin()
    for part in (config[:10], config[10:]):
        location = repository.http.patch(location, content=part).headers["Location"]
    assert repository.http.put(f"{location}&digest={digest}").status_code == 201
    digits = digest.partition(":")[2]
    [file] = (scene.store / "blobs" / "sha256" / digits[:2] / digits).glob("*")
    flipped(file)
    manifest = dumped(repository.manifest(config=descriptor(config, "application/vnd.oci.image.config.v1+json")))
    assert repository.put("v2", manifest).json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    repository.push_blob(config)
    assert repository.put("v2", manifest).status_code == 201


def test_an_unmounted_folder_quarantines_nothing(scene: Scene) -> None:
    # The gateway knows the file already.
    assert scene.repository.blob(scene.digest).status_code == 200
    away = scene.store.with_name("away")
    scene.store.rename(away)
    scene.store.mkdir(mode=0o700)
    try:
        # Without the check for faults: here, a 503 is the right answer.
        with httpx.Client(
            base_url=scene.running.http_url,
            headers={"Authorization": f"Bearer {scene.repository.token}"},
            timeout=30,
            verify=NO_TLS,
            trust_env=False,
        ) as plain:
            path = scene.repository.path
            assert plain.get(f"{path}/blobs/{scene.digest}").status_code == 503
            assert plain.head(f"{path}/blobs/{scene.digest}").status_code == 503
            assert plain.get(f"{path}/blobs/{scene.digest}", headers={"Range": "bytes=0-9"}).status_code == 503
            mount = plain.post(f"{path}x/blobs/uploads/", params={"mount": scene.digest, "from": scene.repository.name})
            assert mount.status_code != 201
    finally:
        shutil.rmtree(scene.store)
        away.rename(scene.store)
    assert scene.quarantines == []
    wait_until(lambda: scene.repository.blob(scene.digest).content == scene.layer, "the blob, after the folder is back")


def test_a_start_without_the_disk_of_the_blobs_quarantines_nothing(scene: Scene) -> None:
    """blobsvc finds an empty folder, and makes a new store there."""
    assert scene.repository.blob(scene.digest).status_code == 200
    away = scene.store.with_name("away")
    scene.store.rename(away)
    scene.running.restart_service("blobsvc")
    try:
        assert (scene.store / "store-id").read_text() != (away / "store-id").read_text()
        with httpx.Client(
            base_url=scene.running.http_url,
            headers={"Authorization": f"Bearer {scene.repository.token}"},
            timeout=30,
            verify=NO_TLS,
            trust_env=False,
        ) as plain:
            for method in ("GET", "HEAD"):
                assert plain.request(method, f"{scene.repository.path}/blobs/{scene.digest}").status_code == 503
    finally:
        shutil.rmtree(scene.store)
        away.rename(scene.store)
        scene.running.restart_service("blobsvc")
    assert scene.repository.blob(scene.digest).content == scene.layer
    assert scene.quarantines == []


def test_the_same_blob_pushed_twenty_times_keeps_one_copy(scene: Scene) -> None:
    for _ in range(20):
        scene.repository.push_blob(scene.layer)
    wait_until(lambda: len(scene.files) == 1, "one generation on the disk")
    assert scene.repository.blob(scene.digest).content == scene.layer


def test_a_push_that_the_quota_refuses_leaves_nothing_within_seconds(scene: Scene) -> None:
    project = scene.management.create_project(storage_limit=4 * 1024 * 1024)
    target = scene.other(project)
    target.push_blob(_random.randbytes(3_000_000))
    refused = [_random.randbytes(2_000_000) for _ in range(5)]
    for content in refused:
        answer = target.http.post(
            f"{target.path}/blobs/uploads/", params={"digest": digest_of(content)}, content=content
        )
        assert answer.status_code == 403
    digits = [hashlib.sha256(content).hexdigest() for content in refused]
    wait_until(
        lambda: not any((scene.store / "blobs" / "sha256" / each[:2] / each).exists() for each in digits),
        "the refused bytes to be deleted",
    )


def test_each_finding_is_logged_by_both_services(scene: Scene) -> None:
    gone(scene.files[0])
    assert scene.repository.blob(scene.digest).status_code == 404

    def findings() -> dict[str, Any]:
        lines = [
            json.loads(line)
            for line in scene.running.log_file.read_text().splitlines()
            if line.startswith("{") and scene.digest in line
        ]
        return {line["event"]: line for line in lines if line["event"] in {"blob_damaged", "blob_quarantined"}}

    # The lines may be on their way into the log.
    found = wait_until(findings, "the lines in the log", wanted=lambda found: len(found) == 2)
    assert found["blob_damaged"]["damage"] == found["blob_quarantined"]["damage"] == "missing"
    assert found["blob_quarantined"]["found_by"] == "read"
