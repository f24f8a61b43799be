"""The marker of a service that acts for itself, as every service would sign it, if it may or not."""

from svckit.tokens import ActingToken
from svckit.tokens.signer import TokenSigner
from tests.harness.keyring import Keyring


def acting_token(keyring: Keyring, service: str, audience: str) -> str:
    """Says that this service acts for itself at another; the gateway's is forged, since it signs none."""
    if service != "gateway":
        return keyring.acting_token(service, audience)
    forger = _Forged(service, keyring.keypairs[service])
    return forger.sign(_GatewaysToken(subject=f"service:{service}"), audience=audience).text


class _GatewaysToken(ActingToken):
    signers = frozenset({"gateway"})


class _Forged(TokenSigner):
    """Signs what its service may not."""
