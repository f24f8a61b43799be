"""What a service needs is taken away under load, and given back.

The gateway reports it within five seconds, and reports by itself when it is back. No process is restarted. Every
request is served or asked to try again later.

The test has its own PostgreSQL server, and stops it like a crash. It sets the mode of the blob folder to 0. Root
ignores modes, and tests may run as root, so the installation runs without the two capabilities of root for that.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.installation import Installation, postgresql_variables, running_installation
from tests.harness.postgres_server import StoppablePostgres, stoppable_server
from tests.harness.steady_load import SteadyLoad, steady_load
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

pytestmark = pytest.mark.slow

TELLS_SECONDS = 5.0
# How long the load runs before, and with what it needs away.
STEADY_SECONDS = 2.0
AWAY_SECONDS = 3.0


@pytest.fixture
def postgres() -> Iterator[StoppablePostgres]:
    with stoppable_server() as running:
        yield running


def health(installation: Installation) -> dict[str, str]:
    """The errors of the components that have one."""
    answer = httpx.get(f"{installation.http_url}/api/v2.0/health", timeout=10, trust_env=False)
    assert answer.status_code == 200
    return {each["name"]: each["error"] for each in answer.json()["components"] if "error" in each}


def holds(
    installation: Installation, take: Callable[[], None], give_back: Callable[[], None], away: dict[str, str]
) -> SteadyLoad:
    """Checks all of this while something is away; `away` is what /api/v2.0/health says then."""
    pids = installation.pids()
    with steady_load(installation.http_url, Login("admin", installation.admin_password)) as load:
        wait_until(lambda: load.ready and load.ready[-1][1] == 200, "a ready gateway", seconds=TELLS_SECONDS)
        time.sleep(STEADY_SECONDS)  # the load is what is waited for

        taken = time.monotonic()
        take()
        wait_until(lambda: load.ready[-1][1] == 503, "/readyz to turn", seconds=TELLS_SECONDS)
        told = time.monotonic()
        wait_until(lambda: health(installation), "every service to tell", wanted=away.__eq__, seconds=TELLS_SECONDS)
        time.sleep(AWAY_SECONDS)  # likewise

        give_back()
        given_back = time.monotonic()
        wait_until(lambda: load.ready[-1][1] == 200, "/readyz to return", seconds=TELLS_SECONDS)
        returned = time.monotonic()
        time.sleep(STEADY_SECONDS)  # likewise
        ended = time.monotonic()

    assert told - taken < TELLS_SECONDS
    assert returned - given_back < TELLS_SECONDS
    # It changed once, and not back and forth.
    turns = [status for _, status, _ in load.ready]
    assert [now for before, now in zip([0, *turns], turns, strict=False) if now != before] == [200, 503, 200]
    assert load.refused() == {}
    assert all(each.is_success for each in load.between(0, taken))
    # Requests in flight may fail a little later.
    settled = load.between(returned + 1.0, ended)
    assert settled
    assert all(each.is_success for each in settled), load.outcomes[-20:]
    assert any(not each.is_success for each in load.between(told, given_back))
    assert installation.pids() == pids
    assert "starting it again" not in installation.log_file.read_text()
    return load


def test_a_database_that_is_stopped_and_started_under_load(postgres: StoppablePostgres, tmp_path: Path) -> None:
    variables = postgresql_variables(postgres.server.create_database("registry"))
    with running_installation(tmp_path / "data", environment=variables) as installation:
        load = holds(
            installation,
            postgres.stop,
            postgres.start,
            {"authsvc": "not serving (database)", "metasvc": "not serving (database)"},
        )

    said = next(text for _, status, text in load.ready if status == 503)
    assert "not serving (database)" in said
    assert "blobsvc: serving" in said


def test_a_blob_folder_whose_rights_are_taken_and_given_back_under_load(tmp_path: Path) -> None:
    with running_installation(tmp_path / "data", obeys_modes=True) as installation:
        folder = installation.data_dir / "blobsvc"
        try:
            load = holds(
                installation,
                lambda: folder.chmod(0),
                lambda: folder.chmod(0o700),
                {"blobsvc": "not serving (blob store)"},
            )
        finally:
            folder.chmod(0o700)

    # Requests without blobs went on all the time.
    assert all(each.is_success for each in load.outcomes if each.what.startswith("GET manifest"))
