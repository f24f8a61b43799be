"""Services that are killed while bytes are damaged, quarantined, healed and deleted."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from roadstead.blob.v1.blob_service_pb2 import StatBlobRequest
from roadstead.meta.v1.blob_link_service_pb2 import QuarantineBlobRequest, ResolveBlobRequest
from svckit.errors.status import from_rpc_error
from tests.harness import plain_http
from tests.harness.images import digest_of, image
from tests.harness.meta_rows import MetaRows
from tests.harness.platform_caller import Platform, Push, Step, calling_platform
from tests.harness.pushed import Stored
from tests.harness.repository import Repository, open_repository
from tests.harness.services import Services
from tests.harness.waiting import wait_until
from tests.harness.wire import wire_to
from tests.harness.workspace import Login

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize(
        "services", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
    ),
]

LAYER = b"a layer whose file is damaged" * 1000
DIGEST = digest_of(LAYER)


@pytest.fixture
def repository(services: Services) -> Iterator[Repository]:
    project = f"heal{secrets.token_hex(5)}"
    login = Login("admin", services.admin_password)
    answer = plain_http.request(
        "POST",
        f"{services.http_url}/api/v2.0/projects",
        json={"project_name": project},
        auth=login.basic,
    )
    assert answer.status_code == 201, answer.text
    with open_repository(services.http_url, login, f"{project}/app") as opened:
        yield opened
    # After a failed test, the next one must find all services running.
    services.start_all()


@pytest.fixture
def stored(services: Services) -> Stored:
    return Stored(MetaRows(services.database_url), services.data_dir)


@pytest.fixture
def platform(services: Services, repository: Repository) -> Iterator[Platform]:
    with calling_platform(services.addresses, repository.name, "admin", services.admin_password) as platform:
        yield platform


def file_of(services: Services, generation: int, digest: str = DIGEST) -> Path:
    digits = digest.partition(":")[2]
    return services.data_dir / "blobsvc" / "blobs" / "sha256" / digits[:2] / digits / f"{generation:019d}"


def head(repository: Repository) -> int:
    return repository.http.head(f"{repository.path}/blobs/{DIGEST}").status_code


@pytest.mark.parametrize("killed", ["metasvc", "blobsvc"])
def test_a_damaged_blob_heals_whoever_is_killed_between_two_steps(
    services: Services, repository: Repository, stored: Stored, killed: str
) -> None:
    repository.push_blob(LAYER)
    statement = f"SELECT generation FROM blob WHERE digest = '{DIGEST}'"  # noqa: S608 - a constant
    [generation] = [row["generation"] for row in stored.rows.select(statement)]
    assert head(repository) == 200
    file_of(services, generation).unlink()
    services.restart(killed)
    assert head(repository) == 404
    services.restart(killed)
    # The quarantine was committed.
    assert repository.blob(DIGEST).status_code == 404
    location = repository.begin()
    services.restart(killed)
    repository.finish(location, LAYER, LAYER)
    services.restart(killed)
    assert repository.blob(DIGEST).content == LAYER
    assert not file_of(services, generation).exists()


@pytest.mark.parametrize("killed", ["metasvc", "blobsvc"])
def test_surplus_bytes_are_deleted_after_a_kill_at_any_moment_and_what_lives_stays(
    services: Services, repository: Repository, stored: Stored, killed: str
) -> None:
    repository.push_blob(LAYER)
    for _ in range(3):
        for _ in range(3):
            repository.push_blob(LAYER)
        services.kill(killed)
        services.start(killed)
    wait_until(lambda: len(stored.generations(DIGEST)) == 1, "one generation on the disk")
    assert repository.blob(DIGEST).content == LAYER
    assert head(repository) == 200


def live(stored: Stored, digest: str) -> tuple[int, str]:
    """The generation that holds the row of a digest, and its state."""
    [row] = stored.rows.select(f"SELECT generation, state FROM blob WHERE digest = '{digest}'")  # noqa: S608 - a digest
    return row["generation"], row["state"]


def lose_answer(
    services: Services, repository: Repository, begin: Callable[[Platform], Any], committed: Callable[[], bool]
) -> None:
    """Sends a request to metasvc, kills metasvc between the commit and its answer, and starts it again."""
    with wire_to(services.addresses["metasvc"]) as wire:
        addresses = {**services.addresses, "metasvc": wire.address}
        with calling_platform(addresses, repository.name, "admin", services.admin_password) as behind_wire:
            behind_wire.connect("metasvc")
            wire.lose_answers()
            future = begin(behind_wire)
            wait_until(committed, "the commit")
            services.kill("metasvc")
            assert future.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}
    services.start("metasvc")


def test_a_quarantine_whose_answer_is_lost_is_kept_and_its_repeat_changes_nothing(
    services: Services, repository: Repository, stored: Stored, platform: Platform
) -> None:
    repository.push_blob(LAYER)
    generation, _ = live(stored, DIGEST)
    grant = platform.call(
        platform.links.ResolveBlob, ResolveBlobRequest(repository=repository.name, digest=DIGEST)
    ).grant
    file_of(services, generation).unlink()
    damaged = from_rpc_error(platform.begin(platform.blobs.StatBlob, StatBlobRequest(grant=grant)).exception())
    assert damaged.reason == "BLOB_DAMAGED"
    request = QuarantineBlobRequest(finding=damaged.metadata["finding"])

    lose_answer(
        services,
        repository,
        lambda behind_wire: behind_wire.begin(behind_wire.links.QuarantineBlob, request),
        lambda: live(stored, DIGEST) == (generation, "quarantined"),
    )

    assert not platform.has_blob(repository.name, DIGEST)
    assert not platform.call(platform.links.QuarantineBlob, request).quarantined
    repository.push_blob(LAYER)
    # The finding comes once more, late, and is about bytes that were replaced.
    assert not platform.call(platform.links.QuarantineBlob, request).quarantined
    assert repository.blob(DIGEST).content == LAYER


def test_a_link_that_replaces_damaged_bytes_and_whose_answer_is_lost_can_be_repeated(
    services: Services, repository: Repository, stored: Stored, platform: Platform
) -> None:
    pushed = image(secrets.randbits(32), layers=1, layer_bytes=40_000)
    first = Push(platform, repository.name, pushed)
    first.do(Step.START, Step.BYTES, Step.FINISH, Step.LINK)
    file_of(services, first.generation, first.layer_digest).unlink()
    second = Push(platform, repository.name, pushed)
    second.do(Step.START, Step.BYTES, Step.FINISH)

    lose_answer(
        services,
        repository,
        lambda behind_wire: replace(second, platform=behind_wire).begin(Step.LINK),
        lambda: live(stored, second.layer_digest) == (second.generation, "live"),
    )

    second.do_again(Step.LINK)
    assert live(stored, second.layer_digest) == (second.generation, "live")
    buried = f"digest = '{second.layer_digest}'"
    assert (
        stored.rows.count("tombstone", buried)
        == stored.rows.count("tombstone", f"{buried} AND generation = {first.generation} AND reason = 'replaced'")
        == 1
    )
    assert platform.read(repository.name, second.layer_digest) == second.layer
    # The receipt of the damaged bytes comes once more, late. The whole ones stay.
    first.do_again(Step.LINK)
    assert live(stored, second.layer_digest) == (second.generation, "live")
    second.push_config()
    second.do(Step.PUT)
    assert platform.manifest(repository.name, second.tag) == pushed.manifest
