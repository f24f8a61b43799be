"""For all tests: the fixtures of the harness, and marks that follow from the fixtures of a test."""

import pytest

pytest_plugins = [
    "tests.harness.postgres",
    "tests.harness.databases",
    "tests.harness.installation",
    "tests.harness.workspace",
    "tests.harness.engines",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that use PostgreSQL, before `-m` selects, so that no test needs to set the mark itself."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
