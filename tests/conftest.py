"""What all tests share: the fixtures of the harness, and marks that follow from the fixtures asked for."""

import pytest

pytest_plugins = [
    "tests.harness.postgres",
    "tests.harness.databases",
    "tests.harness.installation",
    "tests.harness.workspace",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs PostgreSQL, before `-m` selects: nobody has to remember the mark."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
