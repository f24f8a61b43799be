"""oras-py keeps the first token that it gets, and has no form for refresh tokens. What follows from that."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.endings import ENDINGS, Account
from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.registry_clients.oras_py import OrasPy
from tests.harness.registry_clients.site import Site, site_of
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def site(installation: Installation) -> Iterator[Site]:
    """The shared installation, whose tokens allow what was asked for."""
    with site_of(installation) as site:
        yield site


@pytest.fixture
def oras_py(python: Client, site: Site, tmp_path: Path) -> OrasPy:
    """oras-py, logged in as nobody."""
    site.tapped.forget()
    return OrasPy(python, tmp_path, site.tapped.host)


def test_it_cannot_push_where_tokens_allow_only_what_was_asked_for(oras_py: OrasPy, site: Site) -> None:
    oras_py.log_in(site.workspace.robot)

    refused = oras_py.push(image(350), site.image("asked"))

    # If this fails because it can push now, `token_grant = "held"` has lost its reason.
    assert not refused.succeeded
    assert "is denied" in refused.errors


@pytest.fixture(params=ENDINGS)
def account(request: pytest.FixtureRequest, installation: Installation, site: Site) -> Account:
    """Who works in the private project until it is cut off."""
    return ENDINGS[request.param](installation, site.management, site.workspace)


def test_its_password_and_refresh_token_end_at_once_and_so_does_the_token_that_it_holds(
    oras_py: OrasPy, site: Site, account: Account
) -> None:
    name = site.image("cut-off")
    push(site.installation.http_url, site.workspace.maintainer, site.path("cut-off"), image(351), site.tag)
    refresh_token = site.refresh_token(account.login, oras_py.client_id)
    held = _exchange(site, refresh_token).raise_for_status().json()["access_token"]
    oras_py.log_in(account.login)
    assert oras_py.pull(name).succeeded

    account.end()
    site.tapped.forget()

    assert not oras_py.pull(name).succeeded
    assert {each.status for each in site.tapped.exchanges() if each.about == "token"} == {401}
    assert _exchange(site, refresh_token).status_code == 401
    oras_py.take_token(held)
    wait_until(lambda: oras_py.pull(name).succeeded, "the refusal", wanted=lambda succeeded: not succeeded, seconds=10)


def _exchange(site: Site, refresh_token: str) -> httpx.Response:
    """Buys a registry token for oras-py, as a script around it would."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": OrasPy.client_id,
        "scope": f"repository:{site.path('cut-off')}:pull",
    }
    return httpx.post(f"{site.installation.http_url}/service/token", data=form, trust_env=False, timeout=30)
