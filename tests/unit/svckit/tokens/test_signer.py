import uuid
from collections.abc import Mapping

import jwt
import pytest

from svckit.actor import Actor
from svckit.keys import KeyPair
from svckit.tokens import (
    Access,
    ActingToken,
    Claims,
    Grant,
    IdentityToken,
    Receipt,
    RegistryToken,
    ServiceToken,
    UploadTicket,
)
from svckit.tokens.claims import ClaimsError
from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from tests.unit.svckit.tokens.forge import NOW, Clock

Keys = Mapping[str, KeyPair]

TICKET = UploadTicket(subject="user:7", upload_id="u", repository="p/r", project_id=3)
RECEIPT = Receipt(
    subject="user:7", repository="p/r", project_id=3, digest="sha256:a", generation=2, size=5, upload_time=NOW - 9
)
GRANT = Grant(subject="user:7", repository="p/r", project_id=3, digest="sha256:a", generation=2, size=5)


def test_a_registry_token_reads_as_dockers_token_specification_says(keys: Keys, clock: Clock) -> None:
    access = (
        Access("repository", "p/r", frozenset({"push", "pull"}), 3),
        Access("registry", "catalog", frozenset({"*"})),
    )
    says = RegistryToken(subject="user:7", name="alice", access=access)
    token = TokenSigner("authsvc", keys["authsvc"], clock).sign(says).text
    assert jwt.get_unverified_header(token) == {
        "alg": "ES256",
        "typ": "registry+jwt",
        "kid": keys["authsvc"].kid,
    }
    claims = jwt.decode(
        token,
        keys["authsvc"].public_key,
        algorithms=["ES256"],
        audience="harbor-registry",
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert uuid.UUID(claims.pop("jti")).version == 4
    assert claims == {
        "iss": "authsvc",
        "aud": "harbor-registry",
        "sub": "user:7",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 1800,
        "name": "alice",
        "access": [
            {"type": "repository", "name": "p/r", "actions": ["pull", "push"], "project_id": 3},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
        ],
    }


@pytest.mark.parametrize(
    ("service", "claims", "audience", "lifetime_seconds"),
    [
        ("authsvc", RegistryToken(subject="user:7"), "harbor-registry", 1800),
        ("authsvc", IdentityToken(subject="user:7", kind="user", id=7, name="a"), "roadstead", 300),
        ("blobsvc", ServiceToken(subject="service:blobsvc"), "roadstead", 300),
        ("blobsvc", RECEIPT, "metasvc", 3600),
        ("metasvc", GRANT, "blobsvc", 300),
    ],
)
def test_each_kind_has_its_audience_and_lifetime(
    keys: Keys, clock: Clock, service: str, claims: Claims, audience: str, lifetime_seconds: int
) -> None:
    signed = TokenSigner(service, keys[service], clock).sign(claims).claims
    assert (signed.audience, signed.expire_time - signed.issued_time) == (audience, lifetime_seconds)


def test_a_ticket_lives_a_day_unless_its_session_is_shorter(keys: Keys, clock: Clock) -> None:
    signer = TokenSigner("blobsvc", keys["blobsvc"], clock)
    signed = signer.sign(TICKET).claims
    assert (signed.upload_time, signed.expire_time) == (NOW, NOW + 86400)
    assert signer.sign(TICKET, lifetime_seconds=3600).claims.expire_time == NOW + 3600


@pytest.mark.parametrize("lifetime_seconds", [0, -1])
def test_a_token_that_is_born_dead_is_not_signed(keys: Keys, clock: Clock, lifetime_seconds: int) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        TokenSigner("metasvc", keys["metasvc"], clock).sign(GRANT, lifetime_seconds=lifetime_seconds)


@pytest.mark.parametrize(("service", "claims"), [("gateway", GRANT), ("metasvc", RECEIPT), ("blobsvc", GRANT)])
def test_a_service_signs_only_its_own_kinds(keys: Keys, service: str, claims: Claims) -> None:
    with pytest.raises(ValueError, match="does not sign"):
        TokenSigner(service, keys[service]).sign(claims)


def test_two_tokens_that_say_the_same_are_two(keys: Keys, clock: Clock) -> None:
    signer = TokenSigner("metasvc", keys["metasvc"], clock)
    assert signer.sign(GRANT).claims.token_id != signer.sign(GRANT).claims.token_id


def test_the_repr_of_a_signed_token_hides_it(keys: Keys) -> None:
    signed = TokenSigner("metasvc", keys["metasvc"]).sign(GRANT)
    assert "eyJ" not in repr(signed)
    assert signed.text not in repr(signed)


@pytest.mark.parametrize("subject", ["", "root", "user:0", "user:x", "robot:1\n", "service:Meta"])
def test_claims_with_no_subject_cannot_be_built(subject: str) -> None:
    with pytest.raises(ClaimsError):
        RegistryToken(subject=subject)


def test_access_is_exactly_what_is_named() -> None:
    token = RegistryToken(subject="user:7", access=(Access("repository", "p/r", frozenset({"pull"}), 3),))
    entry = token.allowed("repository", "p/r", "pull")
    assert entry is not None
    assert entry.project_id == 3
    assert token.allowed("repository", "p/r", "push") is None
    assert token.allowed("repository", "p/r2", "pull") is None
    assert token.allowed("repository", "p", "pull") is None
    assert token.allowed("registry", "p/r", "pull") is None


def test_a_service_token_is_kept_until_less_than_a_minute_is_left(
    keys: Keys, clock: Clock, verifier: TokenVerifier
) -> None:
    source = ServiceTokenSource(TokenSigner("gateway", keys["gateway"], clock), clock)
    first = source.current()
    clock.time = NOW + 240
    assert source.current() == first
    clock.time = NOW + 241
    second = source.current()
    assert second != first
    assert verifier.verify(second, ServiceToken).service == "gateway"


class TestActing:
    """Acting tokens: one for each on whose behalf a service acts, and for one service that is called."""

    def test_it_says_who_acts_for_whom_and_where(self, keys: Keys, clock: Clock, verifier: TokenVerifier) -> None:
        cause = Actor("user", 7, "alice")
        text = ActingTokenSource(TokenSigner("metasvc", keys["metasvc"], clock), "authsvc", clock).current(cause)
        claims = jwt.decode(text, options={"verify_signature": False})
        assert uuid.UUID(claims.pop("jti")).version == 4
        assert claims == {
            "iss": "metasvc",
            "sub": "service:metasvc",
            "aud": "authsvc",
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 300,
            "on_behalf_of": {"kind": "user", "id": 7, "name": "alice", "on_behalf_of": None},
        }
        says = verifier.verify(text, ActingToken, audience="authsvc")
        assert (says.service, says.on_behalf_of) == ("metasvc", cause)

    def test_it_is_kept_for_each_cause_until_less_than_a_minute_is_left(self, keys: Keys, clock: Clock) -> None:
        source = ActingTokenSource(TokenSigner("metasvc", keys["metasvc"], clock), "authsvc", clock)
        causes = (None, Actor("user", 7, "alice"), Actor("user", 8, "bob"), Actor("execution", 7))
        first = [source.current(cause) for cause in causes]
        assert len(set(first)) == 4
        clock.time = NOW + 240
        assert [source.current(cause) for cause in causes] == first
        clock.time = NOW + 241
        assert not {source.current(cause) for cause in causes} & set(first)

    def test_those_least_recently_used_are_forgotten(self, keys: Keys, clock: Clock) -> None:
        signer = TokenSigner("metasvc", keys["metasvc"], clock)
        source = ActingTokenSource(signer, "authsvc", clock, remembered_tokens=2)
        one, two, three = (Actor("user", id_) for id_ in (1, 2, 3))
        first, second = source.current(one), source.current(two)
        assert source.current(one) == first
        source.current(three)
        assert source.current(one) == first
        assert source.current(two) != second

    def test_the_gateway_has_none(self, keys: Keys) -> None:
        signer = TokenSigner("gateway", keys["gateway"])
        with pytest.raises(ValueError, match="does not act for itself"):
            ActingTokenSource(signer, "metasvc")
        with pytest.raises(ValueError, match="does not sign"):
            signer.sign(ActingToken(subject="service:gateway"), audience="metasvc")

    def test_it_needs_an_audience(self, keys: Keys) -> None:
        with pytest.raises(ValueError, match="needs an audience"):
            TokenSigner("metasvc", keys["metasvc"]).sign(ActingToken(subject="service:metasvc"))


def test_a_signer_signs_with_the_key_that_it_was_told_to_use(keys: Keys, clock: Clock) -> None:
    signer, new = TokenSigner("metasvc", keys["metasvc"], clock), KeyPair.generate()
    before = signer.sign(GRANT).text
    signer.use(new)
    after = signer.sign(GRANT).text
    assert [jwt.get_unverified_header(token)["kid"] for token in (before, after)] == [keys["metasvc"].kid, new.kid]
    for token, keypair in ((before, keys["metasvc"]), (after, new)):
        # Raises if another key has signed it.
        jwt.PyJWS(algorithms=["ES256"]).decode(token, keypair.public_key, algorithms=["ES256"])
    assert signer.kid == new.kid


def test_no_source_returns_a_token_of_a_key_that_was_replaced(keys: Keys, clock: Clock) -> None:
    signer, new = TokenSigner("metasvc", keys["metasvc"], clock), KeyPair.generate()
    service, acting = ServiceTokenSource(signer, clock), ActingTokenSource(signer, "authsvc", clock)
    somebody = Actor(kind="user", id=7, name="alice")

    def kids() -> set[str]:
        tokens = (service.current(), acting.current(None), acting.current(somebody))
        return {jwt.get_unverified_header(token)["kid"] for token in tokens}

    assert kids() == {keys["metasvc"].kid}
    signer.use(new)
    assert kids() == {new.kid}
    assert service.current() == service.current()
    assert acting.current(somebody) == acting.current(somebody)
