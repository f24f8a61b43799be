from pathlib import Path

import pytest

from svckit.keys import KeyPair
from svckit.services import SERVICES
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle
from tests.unit.svckit.tokens.forge import Clock


@pytest.fixture(scope="session")
def keys() -> dict[str, KeyPair]:
    return {service: KeyPair.generate() for service in SERVICES}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trust(tmp_path: Path, keys: dict[str, KeyPair]) -> TrustBundle:
    bundle = TrustBundle(tmp_path / "trust")
    for service, keypair in keys.items():
        bundle.publish(service, keypair)
    return bundle


@pytest.fixture
def verifier(trust: TrustBundle, clock: Clock) -> TokenVerifier:
    return TokenVerifier(trust, clock)
