"""Every route under /api/v2.0, used by every kind of caller as Harbor's clients do: with a name and a secret.

The tables say who is let in: rpcs.toml for the RPC behind the route, or routes.toml.
"""

from collections.abc import Iterator

import httpx
import pytest

from tests.access.callers import EVERY_CALLER
from tests.access.rights import may
from tests.access.routes import COMPOSED, ROUTES, is_refused, name_of
from tests.access.world import World
from tests.harness.installation import Installation
from tests.harness.plain_http import ANSWER_SECONDS, NO_TLS


@pytest.fixture(scope="module")
def http(installation: Installation) -> Iterator[httpx.Client]:
    """One connection for all callers."""
    url = f"{installation.http_url}/api/v2.0"
    with httpx.Client(base_url=url, verify=NO_TLS, trust_env=False, timeout=ANSWER_SECONDS) as client:
        yield client


def test_every_route_is_known(http: httpx.Client) -> None:
    described = http.get("/openapi.json").raise_for_status().json()["paths"]
    served = {name_of(method, path) for path, methods in described.items() for method in methods}
    assert served == set(ROUTES)


def test_what_is_more_than_one_rpc_has_a_line_of_its_own() -> None:
    by_hand = {name for name, route in ROUTES.items() if route.binding is None}
    assert {name for name, route in ROUTES.items() if route.has_line} == by_hand | COMPOSED


@pytest.mark.parametrize("name", ROUTES)
def test_who_is_let_in(world: World, http: httpx.Client, name: str) -> None:
    route = ROUTES[name]

    heard: dict[tuple[str, str], httpx.Response] = {}
    for kind in world.projects:
        for caller in EVERY_CALLER:
            login = world.logins[f"{caller}/{kind}"]
            auth = None if login is None else login.basic
            heard[caller, kind] = answer = http.request(**route.request(world, kind), auth=auth)
            if answer.is_success and route.rpc is not None and answer.request.method == "DELETE":
                world.forget(route.rpc, kind)

    wrong = {
        at: (answer.status_code, answer.text)
        for at, answer in heard.items()
        if is_refused(answer) == may(*at, route.right)
    }
    assert not wrong
    assert not [answer for answer in heard.values() if answer.is_server_error]
