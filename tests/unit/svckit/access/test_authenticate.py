"""A principal is made once for each token, and never outlives the verification of the token."""

from pathlib import Path

import pytest

from svckit.access import authenticate
from svckit.access.authenticate import Authenticator
from svckit.errors import DomainError
from tests.harness.keyring import REPOSITORY, Keyring


class World:
    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.keyring = Keyring(folder, lambda: self.now)
        self.authenticator = Authenticator("gateway", self.keyring.verifier())

    def token(self, number: int = 7) -> str:
        return self.keyring.registry_token((REPOSITORY, "pull", 1), subject=f"user:{number}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "trust")


def test_a_token_that_comes_again_has_the_same_principal(world: World) -> None:
    token = world.token()
    principal = world.authenticator.bearer(token)
    assert world.authenticator.bearer(token) is principal
    assert principal.subject == "user:7"


def test_each_token_has_its_own_principal(world: World) -> None:
    tokens = {number: world.token(number) for number in range(1, 20)}
    for _ in range(2):
        for number, token in tokens.items():
            assert world.authenticator.bearer(token).subject == f"user:{number}"


def test_a_token_whose_principal_is_known_expires_all_the_same(world: World) -> None:
    token = world.token()
    world.authenticator.bearer(token)
    world.now += 24 * 3600
    with pytest.raises(DomainError, match="expired"):
        world.authenticator.bearer(token)


def test_only_so_many_principals_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "_MOST_PRINCIPALS", 3)
    tokens = [world.token(number) for number in range(1, 9)]
    for token in tokens:
        world.authenticator.bearer(token)
        assert len(world.authenticator._principals) <= 3
    assert [world.authenticator.bearer(token).subject for token in tokens] == [f"user:{n}" for n in range(1, 9)]
