"""How a refused token looks to the one who verified it."""

import pytest

from svckit.errors import Unauthenticated
from svckit.tokens import Claims, RegistryToken
from svckit.tokens.verifier import TokenError, TokenVerifier


def refusal(verifier: TokenVerifier, token: str, kind: type[Claims] = RegistryToken) -> str:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token, kind)
    assert isinstance(caught.value, Unauthenticated)
    assert caught.value.reason == kind.refusal
    # What is refused is a secret all the same, and must not come out through the text.
    assert len(token) < 30 or token not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.message
