"""Each token string is verified once, and not remembered for longer than its key."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from svckit.key_set import KeySet
from svckit.keys import KeyPair
from svckit.tokens import (
    RegistryToken,
)
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenError, TokenVerifier
from svckit.trust import TrustBundle
from tests.harness.keyring import Keyring
from tests.unit.svckit.tokens.forge import (
    NOW,
    Clock,
    header,
    payload,
    signed,
)
from tests.unit.svckit.tokens.refused import refusal

Keys = Mapping[str, KeyPair]


def test_a_token_string_is_verified_once(verifier: TokenVerifier, keys: Keys) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload())
    first = verifier.verify(token, RegistryToken)
    # the same characters in another object, as each request brings them
    assert verifier.verify("".join(list(token)), RegistryToken) is first
    assert verifier.verified_signatures == 1


def test_an_expired_token_is_verified_once_and_refused_where_it_must_not_have_expired(
    verifier: TokenVerifier, keys: Keys, clock: Clock
) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload())
    expire_time = payload()["exp"]
    clock.time = expire_time + 600
    for _ in range(2):
        # As by the gateway: first for the shares of the caller, then to go on with an upload.
        assert "expired" in refusal(verifier, token)
        assert verifier.verify(token, RegistryToken, expired_seconds=3600).expire_time == expire_time
    clock.time = expire_time + 3600 + RegistryToken.leeway_seconds
    with pytest.raises(TokenError, match="has expired"):
        verifier.verify(token, RegistryToken, expired_seconds=3600)
    assert verifier.verified_signatures == 1


def test_a_refused_token_is_not_remembered_as_good(verifier: TokenVerifier, keys: Keys) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload(aud="other"))
    refusal(verifier, token)
    refusal(verifier, token)


def test_what_is_remembered_is_bounded_and_the_least_used_goes_first(
    trust: TrustBundle, keys: Keys, clock: Clock
) -> None:
    verifier = TokenVerifier(trust, clock, remembered_tokens=2)
    a, b, c = (signed(keys["authsvc"], header(keys["authsvc"]), payload(jti=name)) for name in "abc")
    for token in (a, b, a, c):
        verifier.verify(token, RegistryToken)
    assert verifier.verified_signatures == 3
    verifier.verify(a, RegistryToken)
    assert verifier.verified_signatures == 3
    verifier.verify(b, RegistryToken)
    assert verifier.verified_signatures == 4


def test_a_revoked_key_takes_its_tokens_with_it(trust: TrustBundle, verifier: TokenVerifier, keys: Keys) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload())
    verifier.verify(token, RegistryToken)
    trust.change("authsvc", lambda published: published.with_revoked(keys["authsvc"].kid, NOW))
    assert "unknown key" in refusal(verifier, token)


def test_tokens_of_a_rotated_key_stay_good_beside_those_of_the_new_one(
    trust: TrustBundle, verifier: TokenVerifier, keys: Keys, clock: Clock
) -> None:
    new = KeyPair.generate()
    trust.publish("authsvc", new)
    for keypair in (keys["authsvc"], new):
        token = TokenSigner("authsvc", keypair, clock).sign(RegistryToken(subject="user:7")).text
        assert verifier.verify(token, RegistryToken).subject == "user:7"


def test_a_remembered_token_is_refused_as_soon_as_its_key_has_ended(
    keyring: Keyring, verifier: TokenVerifier, keys: Keys
) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload())
    new = KeyPair.generate()
    keyring.trust.publish("authsvc", new)
    verifier.verify(token, RegistryToken)
    keyring.trust.change("authsvc", lambda published: published.with_signing(new.kid, 1, int(time.time()) + 60))
    verifier.verify(token, RegistryToken)
    keyring.trust.change("authsvc", lambda published: ended(published, keys["authsvc"].kid))
    assert "unknown key" in refusal(verifier, token)


def ended(published: KeySet, kid: str) -> KeySet:
    keys = {**published.keys, kid: replace(published.keys[kid], end_time=int(time.time()))}
    return KeySet(keys, published.revoked)


def test_nothing_of_a_token_is_in_what_the_verifier_holds(verifier: TokenVerifier, keys: Keys) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload())
    claims = verifier.verify(token, RegistryToken)
    held = repr(verifier._verified) + repr(claims) + json.dumps(claims.payload())
    assert token.rsplit(".", 1)[1] not in held
