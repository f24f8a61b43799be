"""What every client program does in a private project: push, pull back, and what it reads when it may not.

The clients stand behind one port (`tests/harness/registry_clients`). What each of them reads is written there, in
refusals.toml, as the programs were seen to behave.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.images import Image, image
from tests.harness.installation import Installation, running_installation
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.registry_clients.every import CLIENTS, HEAVY_CLIENTS
from tests.harness.registry_clients.port import Outcome, RegistryClient
from tests.harness.registry_clients.refusals import REFUSALS, Refusal
from tests.harness.registry_clients.site import Site, site_of
from tests.harness.workspace import Login

pytestmark = pytest.mark.clients

_KINDS = (*CLIENTS, *(pytest.param(kind, marks=pytest.mark.acceptance) for kind in HEAVY_CLIENTS))


@pytest.fixture(scope="module")
def usual(installation: Installation) -> Iterator[Site]:
    """The shared installation."""
    with site_of(installation) as site:
        yield site


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation whose tokens grant all that their holder may do. To the usual one it is another installation."""
    data_dir = tmp_path_factory.mktemp("generous") / "data"
    with (
        running_installation(data_dir, environment={"ROADSTEAD_AUTHSVC_TOKEN_GRANT": "held"}) as installation,
        site_of(installation) as site,
    ):
        yield site


@pytest.fixture(params=_KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def kind(request: pytest.FixtureRequest) -> type[RegistryClient]:
    """Which client."""
    kind: type[RegistryClient] = request.param
    return kind


@pytest.fixture
def site(kind: type[RegistryClient], usual: Site, generous: Site) -> Site:
    """Where the client works."""
    return generous if kind.needs_held_grants else usual


@pytest.fixture
def elsewhere(site: Site, usual: Site, generous: Site) -> Site:
    """Another installation."""
    return usual if site is generous else generous


@pytest.fixture
def client(
    request: pytest.FixtureRequest, kind: type[RegistryClient], site: Site, tmp_path: Path
) -> Iterator[RegistryClient]:
    """The client, logged in as nobody."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    program = request.getfixturevalue(kind.fixture) if kind.fixture else Client(kind.program, home)
    client = kind(program, folder, site.tapped.host)
    site.tapped.forget()
    yield client
    client.close()


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """The name of a repository that no other test uses."""
    return f"t{zlib.crc32(request.node.name.encode()):08x}"


@pytest.fixture
def pushed(repository: str) -> Image:
    """An image that no other test uses, so that all of its layers have to be sent."""
    return image(int(repository.removeprefix("t"), 16))


@pytest.fixture(params=["user", "robot"])
def login(request: pytest.FixtureRequest, site: Site) -> Login:
    """Who may push and pull."""
    return site.workspace.maintainer if request.param == "user" else site.workspace.robot


def test_what_is_pushed_comes_back_with_the_same_digest_until_the_logout(
    client: RegistryClient, site: Site, login: Login, repository: str, pushed: Image
) -> None:
    name = site.image(repository)
    _prepare(client, site, repository, pushed)

    logged_in, sent, got = client.log_in(login), client.push(pushed, name), client.pull(name)

    for outcome in (logged_in, sent, got):
        assert outcome.succeeded, outcome
        assert login.secret not in outcome.output + outcome.errors
    assert sent.digest == got.digest == site.digest(repository)
    if client.sends_as_given:
        assert sent.digest == pushed.digest
    assert client.log_out().succeeded
    assert not client.pull(name).succeeded
    assert not client.push(pushed, name).succeeded


def wrong_password(client: RegistryClient, site: Site, elsewhere: Site, repository: str, pushed: Image) -> Outcome:
    _prepare(client, site, repository, pushed)
    outcome = client.log_in(Login(site.workspace.maintainer.name, "Wrong-password-1"))
    # Some only write the password down, and learn with the push that it is wrong.
    return client.push(pushed, site.image(repository)) if outcome.succeeded else outcome


def expired_token(client: RegistryClient, site: Site, elsewhere: Site, repository: str, pushed: Image) -> Outcome:
    login = site.create_member()
    _push_as(login, client, site, repository, pushed)
    if client.takes == "registry token":
        good, expired = (site.registry_token(login, repository, is_expired=late) for late in (False, True))
        _pull_by_token(good, client, site, repository)
        client.take_token(expired)
    else:
        _pull_by_token(site.refresh_token(login, client.client_id), client, site, repository)
        site.let_refresh_tokens_expire(login)
    site.tapped.forget()
    return client.pull(site.image(repository))


def foreign_token(client: RegistryClient, site: Site, elsewhere: Site, repository: str, pushed: Image) -> Outcome:
    login = site.workspace.maintainer
    _push_as(login, client, site, repository, pushed)
    if client.takes == "registry token":
        _pull_by_token(site.registry_token(login, repository), client, site, repository)
        # All is right in it but the key.
        client.take_token(site.registry_token(login, repository, signed_by=elsewhere.installation.data_dir))
    else:
        client.take_token(elsewhere.refresh_token(elsewhere.workspace.maintainer, client.client_id))
    site.tapped.forget()
    return client.pull(site.image(repository))


def push_by_a_guest(client: RegistryClient, site: Site, elsewhere: Site, repository: str, pushed: Image) -> Outcome:
    _push_as(site.workspace.maintainer, client, site, repository, pushed)
    other = f"{repository}-2"
    _prepare(client, site, other, pushed)
    client.log_in(site.workspace.guest)
    allowed = client.pull(site.image(repository))
    assert allowed.succeeded, allowed
    site.tapped.forget()
    return client.push(pushed, site.image(other))


def pull_by_a_stranger(client: RegistryClient, site: Site, elsewhere: Site, repository: str, pushed: Image) -> Outcome:
    _push_as(site.workspace.maintainer, client, site, repository, pushed)
    client.log_in(site.workspace.outsider)
    site.tapped.forget()
    return client.pull(site.image(repository))


def _prepare(client: RegistryClient, site: Site, repository: str, pushed: Image) -> None:
    """What must be there before the client pushes."""
    if client.signs:
        push(site.installation.http_url, site.workspace.maintainer, site.path(repository), pushed, site.tag)


def _push_as(login: Login, client: RegistryClient, site: Site, repository: str, pushed: Image) -> None:
    _prepare(client, site, repository, pushed)
    for outcome in (client.log_in(login), client.push(pushed, site.image(repository)), client.log_out()):
        assert outcome.succeeded, outcome


def _pull_by_token(token: str, client: RegistryClient, site: Site, repository: str) -> None:
    """So that what follows is refused for what is wrong with its token, and for nothing else."""
    client.take_token(token)
    outcome = client.pull(site.image(repository))
    assert outcome.succeeded, outcome


_ATTEMPTS: dict[str, Callable[[RegistryClient, Site, Site, str, Image], Outcome]] = {
    "a wrong password": wrong_password,
    "an expired token": expired_token,
    "a token of another installation": foreign_token,
    "a push by a guest": push_by_a_guest,
    "a pull by a stranger": pull_by_a_stranger,
}


@pytest.mark.parametrize("attempt", _ATTEMPTS)
def test_a_refusal_says_why(
    client: RegistryClient, site: Site, elsewhere: Site, repository: str, pushed: Image, attempt: str
) -> None:
    expected: Refusal = REFUSALS[client.name][attempt]

    outcome = _ATTEMPTS[attempt](client, site, elsewhere, repository, pushed)

    last = [each for each in site.tapped.exchanges() if each.about == expected.about][-1]
    assert (last.status, last.code) == (expected.status, expected.code)
    assert outcome.exit_status != 0
    assert expected.says in outcome.errors
