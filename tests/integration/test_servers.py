"""`roadstead up` with several gateways of each HTTP server on one socket."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tests.harness.installation import Installation, StartInstallation
from tests.harness.plain_http import NO_TLS
from tests.harness.waiting import result_of, wait_until


@pytest.fixture(params=["hypercorn", "granian"])
def pair(request: pytest.FixtureRequest, start_installation: StartInstallation) -> Installation:
    return start_installation(environment={"ROADSTEAD_GATEWAY_SERVER": request.param}, workers=2)


def ask(installation: Installation) -> bool:
    """Whether a new connection is answered."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{installation.http_url}/v2/", trust_env=False, verify=NO_TLS, timeout=20).status_code == 401
    return False


def test_two_gateways_serve_one_socket_and_a_dead_one_is_replaced(pair: Installation) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, [pair] * 64))
    killed = pair.kill("gateway")
    # Connections that wait in the queue of the socket survive.
    assert all(ask(pair) for _ in range(20))
    wait_until(lambda: killed not in gateways(pair) and len(gateways(pair)) == 2, "two gateways", more=pair.log)
    pair.wait_until_ready()
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, [pair] * 64))


def gateways(installation: Installation) -> list[int]:
    return [pid for name, pid in installation.pids().items() if name.startswith("gateway")]


def test_a_stop_of_the_installation_ends_what_its_clients_leave_open(pair: Installation) -> None:
    client = httpx.Client(base_url=pair.http_url, trust_env=False, verify=NO_TLS)
    client.get("/v2/")
    with ThreadPoolExecutor(1) as pool:
        assert result_of(pool.submit(pair.stop), "the installation to stop", seconds=20) == 0
    client.close()
