"""How long a public key is needed after its service has begun to sign with another one."""

from svckit.tokens.acting import ActingToken
from svckit.tokens.claims import Claims, IdentityToken, RegistryToken, ServiceToken
from svckit.tokens.documents import LONGEST_EXPIRED_SECONDS, Finding, Grant, Receipt, UploadTicket

KINDS: tuple[type[Claims], ...] = (
    RegistryToken,
    IdentityToken,
    ServiceToken,
    ActingToken,
    UploadTicket,
    Receipt,
    Finding,
    Grant,
)
"""All kinds of token."""


def kinds_of(service: str) -> tuple[type[Claims], ...]:
    """The kinds that a service signs."""
    return tuple(kind for kind in KINDS if service in kind.signers)


def needed_seconds(service: str) -> int:
    """How long after its last signature the public key of a service may still be needed to verify a token.

    Raises:
        ValueError: there is no such service.
    """
    return max(verified_seconds(kind) for kind in kinds_of(service))


def verified_seconds(kind: type[Claims]) -> int:
    """How long a token of a kind may be accepted, from its signature on."""
    # An upload goes on with a registry token that has expired since it began.
    expired_seconds = LONGEST_EXPIRED_SECONDS if kind is RegistryToken else 0
    return kind.longest_lifetime_seconds + kind.leeway_seconds + expired_seconds
