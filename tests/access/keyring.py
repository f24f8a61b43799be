"""The keys of all services of an installation, of those too that are only planned: what a service could sign."""

from collections.abc import Mapping

from svckit import keys
from svckit.keys import KeyPair
from svckit.services import NAMES
from svckit.tokens import ActingToken
from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource, TokenSigner
from svckit.trust import TrustBundle
from tests.harness.installation import Installation


def keys_of(installation: Installation) -> Mapping[str, KeyPair]:
    """By service. One that has none yet gets one, which the installation trusts."""
    trust = TrustBundle(installation.data_dir / "trust")
    found: dict[str, KeyPair] = {}
    for service in sorted(NAMES):
        found[service] = keys.load_or_create(installation.data_dir / "keys" / f"{service}.pem")
        trust.publish(service, found[service])
    return found


def service_token(service: str, keypair: KeyPair) -> str:
    """Says that this service passes a call on."""
    return ServiceTokenSource(TokenSigner(service, keypair)).current()


def acting_token(service: str, keypair: KeyPair, audience: str) -> str:
    """Says that this service acts for itself at another; the gateway's is forged, since it signs none."""
    if service == "gateway":
        return _Forged(service, keypair).sign(_GatewaysToken(subject=f"service:{service}"), audience=audience).text
    return ActingTokenSource(TokenSigner(service, keypair), audience).current(None)


class _GatewaysToken(ActingToken):
    signers = frozenset({"gateway"})


class _Forged(TokenSigner):
    """Signs what its service may not."""
