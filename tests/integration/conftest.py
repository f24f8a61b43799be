"""Services that only the test restarts, and repositories of the shared installation, one for each test."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.harness.installation import PLACEMENTS, Installation, postgresql_variables
from tests.harness.plain_http import NO_TLS
from tests.harness.postgres import numbered_database
from tests.harness.repository import EMPTY_CONFIG, MakeRepository, Repository, open_repository
from tests.harness.services import Services, running_services
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login, Workspace


@pytest.fixture(scope="module")
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The four services, for all tests of a module. Leave them running.

    The indirect parameter is the database; "sqlite, stream" has the bytes of all blobs go over gRPC.
    """
    database, _, placement = request.param.partition(", ")
    with ExitStack() as stack:
        variables = dict(PLACEMENTS[placement or "file"])
        if database == "postgresql":
            # Requested by name, so that a run without PostgreSQL tests does not start a server.
            server = request.getfixturevalue("postgres_server")
            variables |= postgresql_variables(stack.enter_context(numbered_database(server)))
        folder = tmp_path_factory.mktemp("services")
        yield stack.enter_context(running_services(folder / "data", variables))


@pytest.fixture
def plain(workspace: Workspace) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client(base_url=workspace.http_url, timeout=30, verify=NO_TLS, trust_env=False) as client:
        yield client


@pytest.fixture
def make_repository(workspace: Workspace) -> Iterator[MakeRepository]:
    """Makes repositories in the private project or in another one, each with a login that has all rights there."""
    with ExitStack() as stack:

        def make(*scopes: str, project: str = "", login: Login | None = None, name: str = "") -> Repository:
            full_name = f"{project or workspace.project}/{name or secrets.token_hex(6)}"
            opened = open_repository(workspace.http_url, login or workspace.maintainer, full_name, scopes)
            return stack.enter_context(opened)

        yield make


@pytest.fixture
def repository(make_repository: MakeRepository) -> Repository:
    """A new repository in the private project."""
    return make_repository()


@pytest.fixture
def stocked(repository: Repository) -> Repository:
    """A new repository with all blobs that `Repository.manifest` names."""
    repository.push_blob(EMPTY_CONFIG)
    return repository


@pytest.fixture(scope="module")
def no_errors_logged(installation: Installation) -> Iterator[None]:
    """Fails a module in which a service has logged an error: no request of a client may cause one."""
    begin = installation.log_file.stat().st_size
    yield
    # Lines are written a moment after they are logged. When this one is there, those of the tests are.
    last = f"/{secrets.token_hex(8)}"
    httpx.get(f"{installation.http_url}{last}", trust_env=False)
    wait_until(lambda: last in installation.log_file.read_text(), "the last line in the log")
    with installation.log_file.open("rb") as log:
        log.seek(begin)
        lines = [json.loads(line) for line in log if line.startswith(b"{")]
    assert [line for line in lines if line.get("level") in {"error", "critical"}] == []
