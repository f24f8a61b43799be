"""Services that are killed while bytes are damaged, quarantined, healed and deleted."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.meta_rows import MetaRows
from tests.harness.plain_http import NO_TLS
from tests.harness.pushed import Stored
from tests.harness.repository import Repository, open_repository
from tests.harness.services import Services
from tests.harness.waiting import wait_until
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
    answer = httpx.post(
        f"{services.http_url}/api/v2.0/projects",
        json={"project_name": project},
        auth=login.basic,
        timeout=30,
        trust_env=False,
        verify=NO_TLS,
    )
    assert answer.status_code == 201, answer.text
    with open_repository(services.http_url, login, f"{project}/app") as opened:
        yield opened
    # After a failed test, the next one must find all services running.
    services.start_all()


@pytest.fixture
def stored(services: Services) -> Stored:
    return Stored(MetaRows(services.database_url), services.data_dir)


def file_of(services: Services, generation: int) -> Path:
    digits = DIGEST.partition(":")[2]
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
    wait_until(lambda: len(stored.generations(DIGEST)) == 1, "one generation on the disk", seconds=60)
    assert repository.blob(DIGEST).content == LAYER
    assert head(repository) == 200
