"""Acting tokens, signed by every service, also by those that must not."""

from svckit.tokens import ActingToken
from svckit.tokens.signer import TokenSigner
from tests.harness.keyring import Keyring


def acting_token(keyring: Keyring, service: str, audience: str) -> str:
    """The acting token of a service for another one. The gateway's is forged, because it must not sign one."""
    if service != "gateway":
        return keyring.acting_token(service, audience)
    forger = _Forged(service, keyring.keypairs[service])
    return forger.sign(_GatewaysToken(subject=f"service:{service}"), audience=audience).text


class _GatewaysToken(ActingToken):
    signers = frozenset({"gateway"})


class _Forged(TokenSigner):
    """Signs tokens that its service must not sign."""
