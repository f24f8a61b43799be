"""The eight kinds of token that carry rights and findings between callers and services: ES256 JWTs.

`claims`, `documents` and `acting` define the claims of each kind, `signer` signs tokens, `verifier` verifies them.
Every service verifies tokens itself, with the trust bundle, without a call to another service. The names exported here
need no gRPC, so domain code may use them.
"""

from svckit.tokens.acting import ActingToken
from svckit.tokens.claims import Access, Claims, IdentityToken, RegistryToken, ServiceToken
from svckit.tokens.documents import Damage, Finding, Grant, Receipt, UploadTicket

__all__ = [
    "Access",
    "ActingToken",
    "Claims",
    "Damage",
    "Finding",
    "Grant",
    "IdentityToken",
    "Receipt",
    "RegistryToken",
    "ServiceToken",
    "UploadTicket",
]
