from collections.abc import Mapping
from pathlib import Path

import pytest

from svckit.keys import KeyPair
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle
from tests.harness.keyring import Keyring
from tests.unit.svckit.tokens.forge import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(tmp_path: Path, clock: Clock) -> Keyring:
    return Keyring(tmp_path / "trust", clock)


@pytest.fixture
def keys(keyring: Keyring) -> Mapping[str, KeyPair]:
    return keyring.keypairs


@pytest.fixture
def trust(keyring: Keyring) -> TrustBundle:
    return keyring.trust


@pytest.fixture
def verifier(keyring: Keyring) -> TokenVerifier:
    return keyring.verifier()
