"""Where deletes are switched off, /v2 answers 405 and keeps everything; roles and REST work as before."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import plain_http
from tests.harness.images import digest_of
from tests.harness.installation import Installation, running_installation
from tests.harness.repository import EMPTY_CONFIG, Repository, dumped, error_code, open_repository, token_for
from tests.harness.workspace import MAINTAINER, Login, Management


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("keeping") / "data"
    with running_installation(folder, environment={"ROADSTEAD_METASVC_DELETE_ENABLED": "false"}) as installation:
        yield installation


@pytest.fixture(scope="module")
def login(keeping: Installation) -> Iterator[tuple[Login, str]]:
    """A maintainer, and the name of a private project."""
    management = Management.of(keeping)
    project, login = management.create_project(), management.create_user()
    management.add_member(project, login, MAINTAINER)
    yield login, project
    management.close()


@pytest.fixture
def kept(keeping: Installation, login: tuple[Login, str]) -> Iterator[Repository]:
    """A repository with the manifest v1."""
    with ExitStack() as stack:
        who, project = login
        repository = stack.enter_context(open_repository(keeping.http_url, who, f"{project}/kept"))
        repository.push_blob(EMPTY_CONFIG)
        assert repository.put("v1", dumped(repository.manifest())).status_code == 201
        yield repository


def test_nothing_is_deleted_and_the_methods_that_are_left_are_named(kept: Repository) -> None:
    content = dumped(kept.manifest())
    for path, left in (
        ("manifests/v1", "GET, HEAD, PUT"),
        (f"manifests/{digest_of(content)}", "GET, HEAD, PUT"),
        ("manifests/none", "GET, HEAD, PUT"),
        (f"blobs/{digest_of(EMPTY_CONFIG)}", "GET, HEAD"),
    ):
        answer = kept.http.delete(f"{kept.path}/{path}")

        assert (answer.status_code, error_code(answer), answer.headers["Allow"]) == (405, "UNSUPPORTED", left), path
    assert kept.get("v1").content == content
    assert kept.blob(digest_of(EMPTY_CONFIG)).content == EMPTY_CONFIG


def test_who_may_not_delete_hears_that_first(kept: Repository, keeping: Installation, login: tuple[Login, str]) -> None:
    kept.token = token_for(keeping.http_url, login[0], f"repository:{kept.name}:pull")

    assert kept.http.delete(f"{kept.path}/manifests/v1").status_code == 401


def test_an_upload_can_still_be_cancelled(kept: Repository) -> None:
    location = kept.begin()

    assert kept.http.delete(location).status_code == 204


def test_rest_deletes_by_roles(kept: Repository, keeping: Installation, login: tuple[Login, str]) -> None:
    who, project = login
    answer = plain_http.request(
        "DELETE",
        f"{keeping.http_url}/api/v2.0/projects/{project}/repositories/kept/artifacts/v1",
        auth=who.basic,
    )

    assert answer.status_code == 200, answer.text
    assert kept.get("v1").status_code == 404
