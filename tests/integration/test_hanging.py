"""A process that hangs is found and restarted; one that only says that it cannot serve is left alone."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from svckit.services import RPC_SERVICES
from tests.harness import plain_http
from tests.harness.installation import Installation, running_installation
from tests.harness.waiting import wait_until

# Long enough for a busy machine to answer, short enough for a test.
HANG_SECONDS = 6.0


@pytest.fixture(scope="module", params=["hypercorn", "granian"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("watched") / "data"
    variables = {"ROADSTEAD_GATEWAY_SERVER": request.param}
    with running_installation(folder, workers=2, hang_seconds=HANG_SECONDS, environment=variables) as running:
        yield running


def test_processes_that_are_stopped_are_restarted_and_the_others_are_not(watched: Installation) -> None:
    before = watched.pids()
    # One of the two gateways: the other one still answers at the shared address.
    stopped = {*RPC_SERVICES, "gateway"}
    for name in stopped:
        os.kill(before[name], signal.SIGSTOP)

    wait_until(
        lambda: set(watched.pids().values()),
        "other processes",
        wanted=lambda pids: len(pids) == len(before) and not pids & {before[name] for name in stopped},
        more=watched.log,
    )
    watched.wait_until_ready()

    assert before["gateway-2"] in watched.pids().values()
    assert watched.log().count("killed: it hangs") == len(stopped)


def test_a_service_that_says_not_serving_is_alive(watched: Installation) -> None:
    watched.wait_until_ready()
    before = watched.pids()["blobsvc"]
    store = watched.data_dir / "blobsvc"
    away = store.rename(store.with_name("away"))
    try:
        wait_until(
            lambda: plain_http.get(f"{watched.http_url}/readyz").status_code, "503", wanted=lambda code: code == 503
        )
        # metasvc is stopped meanwhile. When the supervisor has found that, it has had the time to find this one, too.
        stopped = watched.pids()["metasvc"]
        os.kill(stopped, signal.SIGSTOP)
        watched.wait_for_new("metasvc", stopped)
        assert watched.pids()["blobsvc"] == before
    finally:
        away.rename(store)
    watched.wait_until_ready()
    assert watched.pids()["blobsvc"] == before
