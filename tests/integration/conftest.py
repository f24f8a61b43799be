"""Services that only the test starts again, on the database that it names."""

from collections.abc import Iterator

import pytest

from tests.harness.installation import postgresql_variables
from tests.harness.services import Services, running_services


@pytest.fixture(scope="module")
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The four services, for all tests of a module: leave them running. Parametrized, indirectly, by the database."""
    variables = {}
    if request.param == "postgresql":
        # Asked for by name, so that a run without PostgreSQL starts none.
        server = request.getfixturevalue("postgres_server")
        name = f"services_{request.module.__name__.rpartition('.')[2]}"
        variables = postgresql_variables(server.create_database(name))
    with running_services(tmp_path_factory.mktemp("services") / "data", variables) as running:
        yield running
