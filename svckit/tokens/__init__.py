"""The seven kinds of token that carry rights between callers and services: ES256 JWTs.

`claims` and `acting` hold what each kind says, `signer` makes them, `verifier` judges them. Every service verifies for
itself, by the trust bundle, and calls nobody for it. What is exported here needs no gRPC, so domain code may name the
claims.
"""

from svckit.tokens.acting import ActingToken
from svckit.tokens.claims import (
    Access,
    Claims,
    Grant,
    IdentityToken,
    Receipt,
    RegistryToken,
    ServiceToken,
    UploadTicket,
)

__all__ = [
    "Access",
    "ActingToken",
    "Claims",
    "Grant",
    "IdentityToken",
    "Receipt",
    "RegistryToken",
    "ServiceToken",
    "UploadTicket",
]
