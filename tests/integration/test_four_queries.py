"""The four queries of docs/operations.md, run unchanged on a database after a real push."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import plain_http
from tests.harness.images import OCI_CONFIG, OCI_MANIFEST, Image, image, write_oci_layout
from tests.harness.installation import Installation, postgresql_variables, running_installation
from tests.harness.meta_rows import MetaRows
from tests.harness.postgres import numbered_database
from tests.harness.programs import Client

TAG = "1.20.2-alpine"
REPOSITORY = "test/nginx"

REPOSITORY_BY_NAME = """SELECT id FROM "repository" WHERE name = 'test/nginx';"""
ARTIFACT_BY_TAG = """SELECT artifact_id FROM "tag" WHERE "repository_id" = 1 AND "name" = '1.20.2-alpine';"""
ARTIFACT_BY_ID = """SELECT * FROM "artifact" WHERE "id" = 1;"""
# The digest is that of the image, where the page has an ellipsis.
ARTIFACT_BY_DIGEST = """SELECT * FROM "artifact" WHERE "digest" = 'sha256:…' AND "repository_name" = 'test/nginx';"""

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def pushed() -> Image:
    return image(3101, layers=3)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pushed: Image
) -> Iterator[MetaRows]:
    """The database of metasvc, after the first push of an installation, while it runs."""
    data_dir = tmp_path_factory.mktemp("queries") / "data"
    url, variables = f"sqlite:///{data_dir}/metasvc/meta.db", {}
    with ExitStack() as stack:
        if request.param == "postgresql":
            # Requested by name, so that a run without PostgreSQL tests does not start a server.
            url = stack.enter_context(numbered_database(request.getfixturevalue("postgres_server")))
            variables = postgresql_variables(url)
        installation = stack.enter_context(running_installation(data_dir, grpc=False, environment=variables))
        push(installation, pushed, tmp_path_factory.mktemp("crane"))
        yield MetaRows(url)


def push(installation: Installation, pushed: Image, folder: Path) -> None:
    """Pushes with crane, as the project's owner."""
    password = installation.admin_password
    created = plain_http.request(
        "POST",
        f"{installation.http_url}/api/v2.0/projects",
        json={"project_name": "test"},
        auth=("admin", password),
    )
    assert created.status_code == 201, created.text
    crane = Client("crane", folder)
    crane.run("auth", "login", installation.host, "-u", "admin", "--password-stdin", input_text=password)
    layout = write_oci_layout(folder / "layout", pushed)
    crane.run("push", str(layout), f"{installation.host}/{REPOSITORY}:{TAG}")
    assert crane.run("digest", f"{installation.host}/{REPOSITORY}:{TAG}").strip() == pushed.digest


def test_a_repository_by_its_name(database: MetaRows) -> None:
    assert database.select(REPOSITORY_BY_NAME) == [{"id": 1}]


def test_an_artifact_by_its_tag(database: MetaRows) -> None:
    assert database.select(ARTIFACT_BY_TAG) == [{"artifact_id": 1}]


@pytest.mark.parametrize("query", [ARTIFACT_BY_ID, ARTIFACT_BY_DIGEST], ids=["by id", "by digest and repository name"])
def test_an_artifact_itself(database: MetaRows, pushed: Image, query: str) -> None:
    [row] = database.select(query.replace("sha256:…", pushed.digest))

    assert row["id"] == 1
    assert row["repository_id"] == 1
    assert row["repository_name"] == REPOSITORY
    assert row["digest"] == pushed.digest
    assert row["media_type"] == OCI_CONFIG
    assert row["manifest_media_type"] == OCI_MANIFEST
    assert row["type"] == "IMAGE"
    assert row["size"] == len(pushed.manifest) + sum(map(len, pushed.blobs.values()))
    assert row["push_time"]


def test_nothing_is_found_by_another_name(database: MetaRows, pushed: Image) -> None:
    elsewhere = ARTIFACT_BY_DIGEST.replace("sha256:…", pushed.digest).replace("test/nginx", "library/nginx")
    assert database.select(elsewhere) == []
    assert database.select(REPOSITORY_BY_NAME.replace("test/nginx", "nginx")) == []
